"""What a command says of errors."""

import sys

import pytest
import tensorflow as tf

from ran_tf.launch import command


def said(monkeypatch, capsys, work):
    """What a command prints that does some work and fails."""
    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit):
        command.run(work, define_flags=lambda: None)
    return capsys.readouterr().err.strip()


def test_tensorflows_errors_end_a_command_in_one_line_too(monkeypatch, capsys):
    def full():
        raise tf.errors.ResourceExhaustedError(None, None, "x.tmp; No space left on device\nmore")

    assert said(monkeypatch, capsys, full) == "error: x.tmp; No space left on device"


def lookup(x):
    return {}["id"]


def ours(x):
    raise ValueError("`size` must be positive.\n\nReceived: size=-1")


def absent(x):
    raise FileNotFoundError(2, "No such file", "faces.csv")


def unlike(x):
    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def inside(x):
    return tf.map_fn(ours, x)


def unread(x):
    return tf.io.read_file(tf.strings.join(["/no/", tf.strings.as_string(x[0])]))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lookup, "KeyError: 'id'"),
        (ours, "`size` must be positive. Received: size=-1"),
        (inside, "`size` must be positive. Received: size=-1"),
        (absent, "FileNotFoundError: [Errno 2] No such file: 'faces.csv'"),
        (unlike, "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid"),
        (unread, "/no/0; No such file or directory"),
    ],
)
@pytest.mark.parametrize("within", ["a function", "a pipeline"])
def test_an_error_inside_a_graph_says_what_was_raised_and_nothing_else(
    monkeypatch, capsys, function, message, within
):
    def work():
        if within == "a function":
            tf.function(function)(tf.range(2))
        else:
            list(tf.data.Dataset.from_tensors(tf.range(2)).map(function))

    (line,) = said(monkeypatch, capsys, work).splitlines()
    assert line.startswith("error: ")
    if within == "a pipeline" and function is unread:
        assert message in line
    else:
        assert line.removeprefix("error: ").startswith(message)
