"""What a command says of errors."""

import os
import re
import subprocess
import sys

import pytest
import tensorflow as tf
from absl import app, flags

from ran_tf.launch import command, startup

# Those that absl defines for every command.
KEPT = {"help", "helpfull", "helpshort", "helpxml", "only_check_args"}


def said(monkeypatch, capsys, work):
    """What a command prints that does some work and fails."""
    monkeypatch.setattr(sys, "argv", ["command"])
    end(monkeypatch, work)
    return capsys.readouterr().err.strip()


def end(monkeypatch, work=print, *arguments, define_flags=lambda: None, **options):
    """Runs a command with these arguments; returns the status that it ends with."""
    before = set(flags.FLAGS)
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    try:
        with pytest.raises(SystemExit) as caught:
            command.run(work, define_flags=define_flags, **options)
    finally:
        for name in set(flags.FLAGS) - before - KEPT:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        app._register_and_parse_flags_with_usage.done = False
    return caught.value.code or 0


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


def define_some():
    flags.DEFINE_string("model", None, "A model.", required=True)
    flags.DEFINE_bool("align", False, "Photos.")
    flags.DEFINE_integer("batch_size", 1, "Faces at once.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--model is needed"]),
        (["--modle=x"], ["modle", "model"]),
        (["--model=x", "--batch-size=2"], ["Did you mean --batch_size"]),
        (["--model=x", "--align=p.png"], ["takes no value", "Received: --align=p.png"]),
        (["--model=x", "--batch_size=two"], ["batch_size", "two"]),
        (["--model=x", "\N{EN DASH}align"], ["did you mean --align"]),
        (["--model=x", "batch_size=2"], ["did you mean --batch_size=2"]),
    ],
)
@pytest.mark.parametrize("takes_paths", [False, True])
def test_a_mistyped_flag_ends_in_one_line_that_says_what_was_meant(
    arguments, words, takes_paths, monkeypatch, capsys
):
    code = end(monkeypatch, print, *arguments, define_flags=define_some, takes_paths=takes_paths)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 1 and line.startswith("error: ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize("flag", ["--help", "--helpshort", "--helpfull"])
def test_help_ends_with_0(flag, monkeypatch, capsys):
    assert end(monkeypatch, print, flag, define_flags=define_some) == 0
    assert "--helpfull" in capsys.readouterr().out or flag == "--helpfull"


@pytest.mark.parametrize(
    ("resumes", "words"),
    [(True, "continues from here"), (False, "again"), (lambda: True, "continues from here")],
)
def test_ctrl_c_says_what_the_same_command_does(resumes, words, monkeypatch, capsys):
    def work():
        raise KeyboardInterrupt

    assert end(monkeypatch, work, resumes=resumes) == 130
    assert words in capsys.readouterr().err


def test_what_is_kept_of_the_work_is_said_where_it_is_stopped_or_fails(monkeypatch, capsys):
    for kind, words in (
        (KeyboardInterrupt, "stopped; 3 are kept"),
        (OSError, "error: full. 3 are kept"),
    ):

        def work(kind=kind):
            problem = kind("full")
            problem.add_note("3 are kept")
            raise problem

        end(monkeypatch, work)
        assert capsys.readouterr().err == f"{words}\n"


def test_errors_show_names_of_files_as_one_line(monkeypatch, capsys):
    def work():
        raise ValueError("a file. Received: \x1b]0;x\x07 [/x]")

    assert said(monkeypatch, capsys, work) == r"error: a file. Received: \x1b]0;x\x07 [/x]"


CLOSED = """
import sys
from ran_tf.launch import command, terminal
def work():
    for i in range({lines}):
        {say}
command.run(work, define_flags=lambda: None)
"""


@pytest.mark.parametrize("lines", [1, 10_000])
@pytest.mark.parametrize(
    "say", ["terminal.say('x' * 99)", "print('x' * 99)", "terminal.open_console().print('x' * 99)"]
)
def test_a_pipe_that_closes_ends_a_command_as_it_ends_others(lines, say):
    reader, writer = os.pipe()
    os.close(reader)
    code = CLOSED.format(lines=lines, say=say)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_broken_pipe_is_an_error(monkeypatch, capsys):
    def work():
        raise BrokenPipeError(32, "Broken pipe", "somewhere")

    assert "somewhere" in said(monkeypatch, capsys, work)


def test_what_is_written_while_tensorflow_starts_is_shown_if_it_is_an_error(capfd):
    with startup.errors_only():
        os.write(
            2,
            b"WARNING: All log messages before absl::InitializeLog() is called are written to\n"
            b"I0000 00:00:1795945729.119169   13639 port.cc:153] oneDNN custom operations are on\n"
            b"2026-01-01 10:00:00.123: W tensorflow/core/x.cc:1] Could not find TensorRT\n"
            b"E0000 00:00:1795945732.6 13639 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
            b"CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)\n"
            b"E0000 00:00:1795945732.6 13639 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
            b"CUDA error: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\n"
            b"F0000 00:00:1 1 cpu_feature_guard.cc:1] compiled to use AVX, not available here\n"
            b"Traceback (most recent call last):\n",
        )
    shown = capfd.readouterr().err.splitlines()
    assert [line.split()[0] for line in shown] == ["E0000", "F0000", "Traceback"]
    assert "MISMATCH" in shown[0]


def test_what_tensorflow_says_before_it_aborts_is_shown():
    code = (
        "import os; from ran_tf.launch import startup\n"
        "with startup.errors_only():\n"
        "    os.write(2, b'F0000 no AVX'); os.abort()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"no AVX" in done.stderr


@pytest.mark.parametrize("level", [None, "0"])
def test_a_command_starts_without_tensorflows_words(level):
    # Others look whether it is there before they import it.
    look = "import importlib.util; importlib.util.find_spec('tensorflow'); "
    code = f"import ran_tf.launch; {look}import tensorflow as tf; tf.zeros(1) + 1"
    environment = {k: v for k, v in os.environ.items() if k != startup.LEVEL}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | ({} if level is None else {startup.LEVEL: level}),
        capture_output=True,
        check=True,
    )
    assert (done.stderr == b"") == (level is None)


def test_a_long_error_begins_with_what_was_received(monkeypatch, capsys):
    def work():
        raise ValueError("a model must be " + "one of these, " * 20 + ". Received: source='x'")

    assert said(monkeypatch, capsys, work).startswith("error: received source='x'")


FLAGFILES = {
    "no text": (b"--epochs=\xff", "--flagfile must be UTF-8 text: .*position 9"),
    "positional": (b"nonsense\n--epochs=1", "takes flags only. Received: nonsense"),
    "a folder": (None, "received 'x.flags': --flagfile must be a file"),
    "a value": (b"--image_size=0", "`--image_size` must be in 2..4096. Received: .*=0"),
}


@pytest.mark.parametrize("case", FLAGFILES)
def test_a_command_says_it_in_one_line(case, tmp_path, monkeypatch, capsys):
    data, message = FLAGFILES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.flags").mkdir() if data is None else (tmp_path / "x.flags").write_bytes(data)
    code = (
        "from ran_tf.launch import command, flags\n"
        "from absl import flags as absl_flags\n"
        "command.run(lambda: flags.train_config(absl_flags.FLAGS),"
        " define_flags=flags.define_training_flags)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--flagfile", "x.flags"], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("error: ") and not done.stdout
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr), done.stderr
