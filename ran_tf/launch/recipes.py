"""Recipes: files of flags on disk, or those that come with the package."""

import importlib.resources
import pathlib

from ran_tf.launch import mistakes


def expand(arguments: list[str]) -> list[str]:
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
        found.append(find(argument))
    return found


def find(argument: str) -> str:
    """Turns `--flagfile=launch/x.flags` into the packaged recipe when no such file is on disk."""
    flag, _, name = argument.partition("=")
    if flag not in ("-flagfile", "--flagfile") or pathlib.Path(name).expanduser().is_file():
        return argument
    packaged = folder()
    recipe = packaged / pathlib.Path(name).name
    if not recipe.is_file():
        known = ", ".join(sorted(r.name for r in packaged.iterdir() if r.name.endswith(".flags")))
        mistakes.fail(
            f"--flagfile must be a file or one of the packaged recipes: {known}. Received: {name!r}"
        )
    return f"--flagfile={recipe}"


def folder():
    """The packaged recipes (setup.cfg maps `launch/` to `ran_tf.recipes`)."""
    try:
        return importlib.resources.files("ran_tf.recipes")
    except ModuleNotFoundError:  # a checkout that is not installed
        return pathlib.Path(__file__).parents[2] / "launch"
