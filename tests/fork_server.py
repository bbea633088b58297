"""Reads one file after another with one of our readers, each in a forked child.

    python tests/fork_server.py ran_tf/models/h5_child.py copy_arrays MEMORY

For every line of input, a path, one line of JSON: {"error": null or one line for people}, or
{"died": how}. To fork the loaded reader takes milliseconds; to start it, as the product does, up
to seconds.
"""

import json
import os
import resource
import runpy
import signal
import subprocess
import sys

# The readers are a child's: nothing else of the package is imported.


class Server:
    """A running server, from the side of a test.

    Args:
      script: the reader's file.
      function: in it, called with (path) or (path, path + ".out").
    """

    def __init__(self, script, function: str, *, memory: int):
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(script), function, str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def read(self, path) -> dict:
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait() == 0


def _serve(script: str, function: str, memory: str) -> None:
    read = runpy.run_path(script)[function]
    if "torch" in script:
        import torch  # noqa: F401, once for all children
    for line in sys.stdin:
        path = line.rstrip("\n")
        answer, say = os.pipe()
        child = os.fork()
        if not child:
            os.close(answer)
            _read_once(read, path, say=say, memory=int(memory))
        os.close(say)
        with os.fdopen(answer, "rb") as pipe:
            said = pipe.read()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            said = json.dumps({"died": signal.Signals(os.WTERMSIG(status)).name}).encode()
        sys.stdout.write(said.decode() + "\n")
        sys.stdout.flush()


def _read_once(read, path: str, *, say: int, memory: int) -> None:
    """In the child; never returns."""
    signal.alarm(30)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        read(path, *([path + ".out"] if read.__code__.co_argcount > 1 else []))
        report = {"error": None}
    except ValueError as error:
        report = {"error": str(error)}
    except MemoryError:
        report = {"died": "MemoryError"}
    except BaseException as error:
        report = {"unexpected": repr(error)}
    os.write(say, json.dumps(report).encode())
    os._exit(0)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
