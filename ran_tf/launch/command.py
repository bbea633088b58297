"""What every command does around its own work: flags, recipes, logging and errors."""

import contextlib
import importlib
import importlib.resources
import itertools
import os
import pathlib
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from ran_tf import registry
from ran_tf.launch import startup, stop, terminal

_IMPORT = "Modules with what you register: backbones, regions, losses and so on."
# Also those that text programs and web pages make of two hyphens.
_DASHES = "-\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
# Characters before what was received that people read without looking for it.
_LONG = 200
# How errors of AutoGraph and of graphs begin, and what stands before what was raised.
_FRAMED = ("in user code:", "Graph execution error:")
_FRAMES = (*_FRAMED, 'File "', "Detected at node ")


def run(
    main: Callable,
    *,
    define_flags: Callable[[], None],
    takes_paths: bool = False,
    resumes: bool = False,
) -> None:
    """Runs a command as `python -m` does.

    Flags are defined here and not when a command's module is imported, because commands import
    each other and some share names of flags. Errors of the user's making (ValueError, OSError and
    RuntimeError) end in one line and exit status 1, or what their `exit_status` says;
    --verbosity=1 shows their traceback, and what TensorFlow says while it starts. --help ends with
    0; where nobody reads the output any more (`| head`), the command ends as SIGPIPE ends others.

    Args:
      main: the work; takes the list of positional arguments if `takes_paths`, else nothing.
      define_flags: defines the command's flags.
      takes_paths: whether positional arguments are allowed.
      resumes: whether the same command goes on where it was stopped.
    """
    arguments = [sys.argv[0], *expand_arguments(sys.argv[1:])]
    early = _read_early(arguments)
    # What other packages tell people to export, or keras.json says, is not what a command needs.
    # Before modules are imported, for they import Keras.
    backend = "jax" if early["backend"].value == "jax" else "tensorflow"
    os.environ["KERAS_BACKEND"], os.environ["TF_USE_LEGACY_KERAS"] = backend, "0"
    if hasattr(sys.stdout, "reconfigure"):
        # What the output cannot show is spelt out.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Before flags are defined, for their help names what is registered.
    import_modules(early["import"].value or ())
    flags.DEFINE_list("import", [], _IMPORT)
    define_flags()

    def guarded(argv):
        arguments = argv[1:]
        _check_arguments(arguments, takes_paths=takes_paths)
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        elif logging.level_debug():
            os.environ[startup.LEVEL] = "0"
        try:
            main(arguments) if takes_paths else main()
            sys.stdout.flush()
        except KeyboardInterrupt as stopped:
            then = "the same command " + ("goes on from here" if resumes else "begins anew")
            terminal.say("stopped; " + (_notes(stopped) or then), error=True)
            sys.exit(130)
        except (ValueError, OSError, RuntimeError) as error:
            if isinstance(error, BrokenPipeError) and terminal.reader_is_gone():
                raise
            if logging.level_debug():
                raise
            _fail(_message(error), status=getattr(error, "exit_status", 1))
        except Exception as error:
            # TensorFlow's errors (a full disk, a damaged file) are of none of Python's kinds.
            if logging.level_debug() or not type(error).__module__.startswith("tensorflow."):
                raise
            _fail(_message(error).splitlines()[0])

    try:
        app.run(guarded, argv=arguments, flags_parser=_parse)
    except BrokenPipeError:
        if not terminal.reader_is_gone():
            raise
        # The interpreter flushes once more at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        sys.exit(stop.exit_code(signal.SIGPIPE))


def _notes(error: BaseException) -> str:
    """What was added to an error on its way, such as what is kept of the work."""
    # Those of several lines are JAX's, about frames.
    return ". ".join(note for note in getattr(error, "__notes__", ()) if "\n" not in note)


def _fail(message: str, *, status: int = 1) -> NoReturn:
    before, _, received = message.rpartition(" Received: ")
    if len(before) > _LONG:
        message = f"received {received}: {before}"
    for line in f"error: {message}".split("\n"):
        terminal.say(line, error=True)
    sys.exit(status)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags; what is wrong with them is said in one line."""
    try:
        return flags.FLAGS(argv)
    except SystemExit:  # of a flag such as --help, which has been answered
        sys.stdout.flush()
        sys.exit(0)
    except UnicodeDecodeError as error:
        _fail(f"--flagfile must be UTF-8 text: {error}")
    except flags.Error as error:
        _fail(_mistake(error))


def _mistake(error: flags.Error) -> str:
    """What absl says of a flag, and what was meant where that is known."""
    known = flags.FLAGS
    text = " ".join(str(error).split())
    if isinstance(error, flags.UnrecognizedFlagError):
        meant = error.flagname.replace("-", "_")
        if meant in known and meant != error.flagname:
            return f"there is no flag --{error.flagname}. Did you mean --{meant}?"
    if found := re.match(r"flag --(\w+)=(.*): \('Non-boolean argument", text):
        name, value = found.groups()
        return (
            f"--{name} takes no value: it is on (--{name}) or off (--no{name}). "
            f"Received: --{name}={value}"
        )
    if found := re.match(r"flag --(\w+)=None: Flag --\w+ must have a value other than None", text):
        return f"--{found[1]} is needed; --help lists all flags"
    return text


def _check_arguments(arguments: Sequence[str], *, takes_paths: bool) -> None:
    """Finds flags that were meant among what are no flags."""
    for argument in arguments:
        name = argument.lstrip(_DASHES).partition("=")[0].replace("-", "_")
        is_flag = name in flags.FLAGS and not os.path.exists(argument)
        if is_flag and (argument[0] in _DASHES or "=" in argument):
            meant = "--" + argument.lstrip(_DASHES)
            _fail(f"a flag begins with two hyphens. Received: {argument}; did you mean {meant}?")
    if arguments and not takes_paths:
        _fail(f"this command takes flags only. Received: {' '.join(arguments)}")


def _read_early(arguments: list[str]) -> flags.FlagValues:
    """What arguments and files of flags say that must be known before all flags are."""
    early = flags.FlagValues()
    early.set_gnu_getopt(True)  # wherever they stand
    flags.DEFINE_list("import", [], _IMPORT, flag_values=early)
    flags.DEFINE_string("backend", "tensorflow", "Of Keras.", flag_values=early)
    # Told when all flags are read.
    with contextlib.suppress(flags.Error, UnicodeDecodeError):
        early(arguments, known_only=True)
    return early


def import_modules(names: Sequence[str]) -> None:
    """Imports modules that register something, from the working directory too.

    Exits with one line for one that is not there; what its own code raises passes.
    """
    if names and "" not in sys.path and (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and not f"{name}.".startswith(f"{error.name}."):
                raise  # it is there, and imports what is not
            sys.exit(
                "error: --import must name modules in the working directory or installed ones. "
                f"Received: --import={name}"
            )


def define_detector_flag(help: str) -> None:
    """Defines --detector; not as an enum, whose errors do not say what to import."""
    known = ", ".join(registry.DETECTORS)
    flags.DEFINE_string("detector", "mtcnn", f"{help} One of: {known}.")


def _message(error: Exception) -> str:
    """What an error says, without the frames and names of nodes that TensorFlow puts before it."""
    text = f"{error}. {_notes(error)}".strip() if _notes(error) else str(error).strip()
    blocks = re.split(r"\n\s*\n", text)
    if blocks[0].strip() in _FRAMED:
        behind = itertools.dropwhile(lambda block: block.lstrip().startswith(_FRAMES), blocks)
        said = " ".join("\n".join(behind).partition("\n\t [[")[0].split())
        text = re.sub(r"^(ValueError|RuntimeError|OSError): ", "", said) or text
    return re.sub(r"^\{\{function_node .*?\}\} ", "", text) or type(error).__name__


def invocation(command: str, arguments: Sequence[str] | None = None) -> str:
    """How a command was run, for its report; `arguments` are this process' own when None."""
    given = sys.argv[1:] if arguments is None else arguments
    return f"python -m ran_tf.launch.{command} {shlex.join(given)}"


def chosen(*names: str) -> dict[str, Any]:
    """Values of flags by name: arguments of the function that they are named after."""
    return {name: flags.FLAGS[name].value for name in names}


def expand_arguments(arguments: list[str]) -> list[str]:
    """Puts the packaged recipes that arguments name in the place of their names.

    Exits with one line for a flagfile that is not there.
    """
    found: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*found, argument, *rest]
        if argument in ("-flagfile", "--flagfile") and rest:
            argument = f"{argument}={rest.pop(0)}"
        found.append(find_recipe(argument))
    return found


def find_recipe(argument: str) -> str:
    """Turns `--flagfile=launch/x.flags` into the packaged recipe when no such file is on disk."""
    flag, _, name = argument.partition("=")
    if flag not in ("-flagfile", "--flagfile") or pathlib.Path(name).expanduser().is_file():
        return argument
    recipes = recipe_folder()
    recipe = recipes / pathlib.Path(name).name
    if not recipe.is_file():
        known = ", ".join(sorted(r.name for r in recipes.iterdir() if r.name.endswith(".flags")))
        _fail(
            f"--flagfile must be a file or one of the packaged recipes: {known}. Received: {name!r}"
        )
    return f"--flagfile={recipe}"


def recipe_folder():
    """The packaged recipes (setup.cfg maps `launch/` to `ran_tf.recipes`)."""
    try:
        return importlib.resources.files("ran_tf.recipes")
    except ModuleNotFoundError:  # a checkout that is not installed
        return pathlib.Path(__file__).parents[2] / "launch"
