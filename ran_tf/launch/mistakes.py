"""What people get wrong on a command line, and what goes wrong later, in one line each."""

import itertools
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import flags

from ran_tf.launch import terminal

# Also those that text programs and web pages make of two hyphens.
_DASHES = "-\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
# Characters before what was received that people read without looking for it.
_LONG = 200
# How errors of AutoGraph and of graphs begin, and what stands before what was raised.
_FRAMED = ("in user code:", "Graph execution error:")
_FRAMES = (*_FRAMED, 'File "', "Detected at node ")


def fail(message: str, *, status: int = 1) -> NoReturn:
    """Ends the command; what was received comes first where much is said before it."""
    before, _, received = message.rpartition(" Received: ")
    if len(before) > _LONG:
        message = f"received {received}: {before}"
    for line in f"error: {message}".split("\n"):
        terminal.say(line, error=True)
    sys.exit(status)


def of_flags(error: flags.Error) -> str:
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


def check_arguments(arguments: Sequence[str], *, takes_paths: bool) -> None:
    """Finds flags that were meant among what are no flags."""
    for argument in arguments:
        name = argument.lstrip(_DASHES).partition("=")[0].replace("-", "_")
        is_flag = name in flags.FLAGS and not os.path.exists(argument)
        if is_flag and (argument[0] in _DASHES or "=" in argument):
            meant = "--" + argument.lstrip(_DASHES)
            fail(f"a flag begins with two hyphens. Received: {argument}; did you mean {meant}?")
    if arguments and not takes_paths:
        fail(f"this command takes flags only. Received: {' '.join(arguments)}")


def said(error: Exception) -> str:
    """What an error says, without the frames and names of nodes that TensorFlow puts before it."""
    text = f"{error}. {notes(error)}".strip() if notes(error) else str(error).strip()
    blocks = re.split(r"\n\s*\n", text)
    if blocks[0].strip() in _FRAMED:
        behind = itertools.dropwhile(lambda block: block.lstrip().startswith(_FRAMES), blocks)
        told = " ".join("\n".join(behind).partition("\n\t [[")[0].split())
        text = re.sub(r"^(ValueError|RuntimeError|OSError): ", "", told) or text
    return re.sub(r"^\{\{function_node .*?\}\} ", "", text) or type(error).__name__


def notes(error: BaseException) -> str:
    """What was added to an error on its way, such as what is kept of the work."""
    # Those of several lines are JAX's, about frames.
    return ". ".join(note for note in getattr(error, "__notes__", ()) if "\n" not in note)
