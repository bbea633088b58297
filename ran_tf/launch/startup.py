"""What TensorFlow says while it starts is kept from people, unless it is an error.

Its C++ code writes to the file behind standard error, and much of it before it reads
TF_CPP_MIN_LOG_LEVEL.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import subprocess
import sys
from typing import Any

LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# A process of its own: what TensorFlow says before it aborts (on an old processor) must come out.
_FILTER = r"""
import re, sys
noise = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|[IW]\d{4} \d\d:\d\d:"
    rb"|\d{4}-\d\d-\d\d .*: [IW] "
    rb"|To enable the following instructions:"
    # There is no driver, or no device: most machines have none.
    rb"|E\d{4} .*failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE)"
    rb"|E\d{4} .*Unable to register cu\w+ factory"
)
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
"""


def quiet_tensorflow() -> None:
    """From now on TensorFlow is imported without its notes; by processes that are spawned too.

    Where TF_CPP_MIN_LOG_LEVEL is 0, everything is shown.
    """
    os.environ.setdefault(LEVEL, "2")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Finder())


@contextlib.contextmanager
def errors_only():
    """What is written to standard error inside is shown without notes and warnings of C++."""
    try:
        shown = os.dup(2)
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FILTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # it ends with its input, not by Ctrl-C
        )
    except (OSError, ValueError):  # no standard error, or no more processes
        yield
        return
    assert child.stdin is not None
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as others do, and wraps its loading.

    It stays: others look for TensorFlow (etils does) before they import it.
    """

    def __init__(self):
        self._looking = False

    def find_spec(self, name, path, target=None):
        if name != "tensorflow" or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is None or os.environ.get(LEVEL) == "0":
            return spec
        loader: Any = spec.loader
        load = loader.exec_module

        def quietly(module):
            with errors_only():
                load(module)
                module.config.list_physical_devices()  # the other part of what it says

        loader.exec_module = quietly
        return spec
