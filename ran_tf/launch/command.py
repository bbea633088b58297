"""What every command does around its own work: flags, recipes, logging and errors."""

import contextlib
import importlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging

from ran_tf import vocabulary
from ran_tf.checks import InvalidArgument
from ran_tf.launch import mistakes, recipes, startup, stop, terminal

_IMPORT = "Modules that register your own backbones, regions, losses and so on."


def run(
    main: Callable,
    *,
    define_flags: Callable[[], None],
    takes_paths: bool = False,
    resumes: bool | Callable[[], bool] = False,
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
      resumes: whether the same command goes on where it was stopped; a function is asked then.
    """
    arguments = [sys.argv[0], *recipes.expand(sys.argv[1:])]
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
    # So that --help lists what other files of ours define, too.
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        for flag in defined if module.startswith("ran_tf.launch.") else ():
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    def guarded(argv):
        arguments = argv[1:]
        mistakes.check_arguments(arguments, takes_paths=takes_paths)
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        elif logging.level_debug():
            os.environ[startup.LEVEL] = "0"
        try:
            main(arguments) if takes_paths else main()
            sys.stdout.flush()
        except KeyboardInterrupt as stopped:
            goes_on = resumes() if callable(resumes) else resumes
            then = "the same command " + ("continues from here" if goes_on else "starts again")
            terminal.say("stopped; " + (mistakes.notes(stopped) or then), error=True)
            sys.exit(130)
        except (ValueError, OSError, RuntimeError) as error:
            if isinstance(error, BrokenPipeError) and terminal.reader_is_gone():
                raise
            if logging.level_debug():
                raise
            mistakes.fail(mistakes.said(error), status=getattr(error, "exit_status", 1))
        except Exception as error:
            # TensorFlow's errors (a full disk, a damaged file) are of none of Python's kinds.
            if logging.level_debug() or not type(error).__module__.startswith("tensorflow."):
                raise
            mistakes.fail(mistakes.said(error).splitlines()[0])

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


def _parse(argv: list[str]) -> list[str]:
    """Parses flags; what is wrong with them is said in one line."""
    try:
        return flags.FLAGS(argv)
    except SystemExit:  # of a flag such as --help, which has been answered
        sys.stdout.flush()
        sys.exit(0)
    except UnicodeDecodeError as error:
        mistakes.fail(f"--flagfile must be UTF-8 text: {error}")
    except flags.Error as error:
        mistakes.fail(mistakes.of_flags(error))


def _read_early(arguments: list[str]) -> flags.FlagValues:
    """What arguments and files of flags say that must be known before all flags are."""
    early = flags.FlagValues()
    early.set_gnu_getopt(True)  # wherever they stand
    flags.DEFINE_list("import", [], _IMPORT, flag_values=early)
    flags.DEFINE_string("backend", "tensorflow", "Backend of Keras.", flag_values=early)
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


def define_engine_flag() -> None:
    """Defines --engine."""
    flags.DEFINE_enum(
        "engine",
        "auto",
        list(vocabulary.ENGINES),
        "Engine: onnx (ONNX Runtime, starts in a second), keras (TensorFlow), or auto: onnx where "
        "possible.",
    )


def invocation(command: str, arguments: Sequence[str] | None = None) -> str:
    """How a command was run, for its report; `arguments` are this process' own when None."""
    given = sys.argv[1:] if arguments is None else arguments
    return f"python -m ran_tf.launch.{command} {shlex.join(given)}"


def chosen(*names: str) -> dict[str, Any]:
    """Values of flags by name: arguments of the function that they are named after."""
    return {name: flags.FLAGS[name].value for name in names}


def numbers(name: str, *, kind: type = float) -> list | None:
    """The numbers of a flag that lists them, each a `kind`; None when it is absent.

    Raises:
      InvalidArgument: if one is no such number.
    """
    given = flags.FLAGS[name].value
    try:
        return given and [kind(text) for text in given]
    except ValueError:
        expected = "whole numbers" if kind is int else "numbers"
        raise InvalidArgument(name, f"{expected}, separated by commas", given) from None
