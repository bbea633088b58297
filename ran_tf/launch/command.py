"""What every command does around its own work: flags, recipes, logging and errors."""

import importlib.resources
import pathlib
import sys
from collections.abc import Callable

from absl import app, flags, logging

_RECIPE_FLAG = "--flagfile="


def run(main: Callable, *, define_flags: Callable[[], None], takes_paths: bool = False) -> None:
    """Runs a command as `python -m` does.

    Flags are defined here and not when a command's module is imported, because commands import
    each other and some share names of flags. Errors of the user's making (ValueError, OSError and
    RuntimeError) end in one line and exit status 1, or what their `exit_status` says;
    --verbosity=1 shows their traceback.

    Args:
      main: the work; takes the list of positional arguments if `takes_paths`, else nothing.
      define_flags: defines the command's flags.
      takes_paths: whether positional arguments are allowed.
    """
    define_flags()

    def guarded(argv):
        arguments = argv[1:]
        if arguments and not takes_paths:
            sys.exit(f"error: this command takes flags only. Received: {' '.join(arguments)}")
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        try:
            main(arguments) if takes_paths else main()
        except KeyboardInterrupt:
            print("stopped; run the same command again to go on", file=sys.stderr)
            sys.exit(130)
        except (ValueError, OSError, RuntimeError) as error:
            if logging.level_debug():
                raise
            print(f"error: {error}", file=sys.stderr)
            sys.exit(getattr(error, "exit_status", 1))
        except Exception as error:
            # TensorFlow's errors (a full disk, a damaged file) are of none of Python's kinds.
            if logging.level_debug() or not type(error).__module__.startswith("tensorflow."):
                raise
            sys.exit(f"error: {str(error).strip().splitlines()[0]}")

    app.run(guarded, argv=[sys.argv[0], *map(find_recipe, sys.argv[1:])])


def find_recipe(argument: str) -> str:
    """Turns `--flagfile=launch/x.flags` into the packaged recipe when no such file is on disk."""
    name = argument.removeprefix(_RECIPE_FLAG)
    if name == argument or pathlib.Path(name).exists():
        return argument
    recipes = recipe_folder()
    recipe = recipes / pathlib.Path(name).name
    if not recipe.is_file():
        known = ", ".join(sorted(r.name for r in recipes.iterdir() if r.name.endswith(".flags")))
        sys.exit(
            f"error: --flagfile must be a file or one of the packaged recipes: {known}. "
            f"Received: {name!r}"
        )
    return f"{_RECIPE_FLAG}{recipe}"


def recipe_folder():
    """The packaged recipes (setup.cfg maps `launch/` to `ran_tf.recipes`)."""
    try:
        return importlib.resources.files("ran_tf.recipes")
    except ModuleNotFoundError:  # a checkout that is not installed
        return pathlib.Path(__file__).parents[2] / "launch"
