"""Files whose parser may crash, hang or eat memory are read in a process of their own.

HDF5, PyTorch's format and videos are parsed by C code that was not written for strangers' files.
The child reads such a file and writes what it found in a form that is safe to read; whatever
happens to it becomes one error of ours. `video` sets bounds of its own; those of `read_in_child`
are, for a file of n bytes:

    memory   1 GiB + 8 n (data segment; Linux alone keeps it)
    disk     64 MiB + 4 n a file
    time     120 s + 1 s for each MiB
"""

import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile

MEMORY, DISK, SECONDS = 2**30, 2**26, 120
# Of a child's output that is looked at.
_LAST_BYTES = 2**14
# For a child's environment: a thread takes memory of its own, and one is enough to read a file.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ReaderError(ValueError):
    """The child did not read the file; `report` is what it said of it, at least `error`."""

    def __init__(self, report: dict):
        super().__init__(report["error"])
        self.report = report


def read_in_child(child: pathlib.Path, source: pathlib.Path, out: pathlib.Path) -> None:
    """Runs `python CHILD SOURCE OUT` within the bounds above.

    Args:
      child: a script that writes `out`. What it says in a ValueError is for people.
      source: the file to read.
      out: the file to write, in a folder that belongs to the caller.

    Raises:
      ReaderError: without a line break, for whatever went wrong.
    """
    size = source.stat().st_size
    memory, disk = MEMORY + 8 * size, DISK + 4 * size
    seconds = SECONDS + size / 2**20
    # An absolute path is never an option.
    command = command_of(child, source.resolve(), out.resolve(), memory=memory, disk=disk)
    # Not through pipes, which would end in this process' memory.
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        try:
            status = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                timeout=seconds,
                env={**os.environ, **ONE_THREAD},
            ).returncode
        except subprocess.TimeoutExpired:
            error = f"reading it took more than {seconds:.0f} s"
            raise ReaderError({"error": error}) from None
        if status:
            raise ReaderError(
                _report(status, said=last_line(said), complained=last_line(complained))
            )


def command_of(child: pathlib.Path, *arguments, memory: int, disk: int) -> list[str]:
    """Runs a script; at most so many bytes of data, and in a file that it writes."""
    # -P: the child's own folder must not shadow modules.
    script = [str(pathlib.Path(path).resolve()) for path in (__file__, child)]
    bounds = [str(memory), str(disk)]
    return [sys.executable, "-P", script[0], *bounds, script[1], *map(str, arguments)]


def describe_death(status: int, complained: str) -> str:
    """One line about a child that ended with `status` and did not say why; what it wrote last."""
    how = f"status {status}"
    if -status in set(signal.Signals):
        how = signal.Signals(-status).name
    return f"the process that read it died with {how}: {complained[:200] or 'no message'}"


def last_line(file) -> str:
    """Of what a child wrote to a file."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _report(status: int, *, said: str, complained: str) -> dict:
    try:
        report = json.loads(said)
        if isinstance(report["error"], str):
            return report
    except (ValueError, KeyError, TypeError):
        pass
    return {"error": describe_death(status, complained)}


def _limit(*, memory: int, disk: int) -> None:
    try:
        import resource
    except ImportError:  # not on Unix
        return
    for kind, value in [
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CORE, 0),
    ]:
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, most))


def _main(memory: str, disk: str, script: str, *arguments: str) -> None:
    _limit(memory=int(memory), disk=int(disk))
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
        return
    except MemoryError:
        report = {"error": f"reading it takes more than {int(memory):,} bytes of memory"}
    except ImportError as error:
        report = {"error": str(error), "not_installed": True}
    except ValueError as error:
        report = {"error": " ".join(str(error).split())}
    # The last line of output: what else a library has said stands before.
    print(json.dumps(report))
    sys.exit(1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
