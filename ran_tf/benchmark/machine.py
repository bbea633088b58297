"""What the machine is, and how much of its memory is in use."""

import pathlib
import platform
import resource
import sys
from importlib import metadata

import tensorflow as tf

from ran_tf.faces.processes import available_cpus

_PACKAGES = ("tensorflow", "keras", "numpy")
# Processor features that decide how fast matrix products are.
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe() -> dict:
    """Processor, accelerators and versions."""
    return {
        "processor": _cpu_field("model name") or platform.processor(),
        "cpus": available_cpus(),
        "features": [f for f in _FEATURES if f in _cpu_field("flags").split()],
        "accelerators": [device.name for device in tf.config.list_physical_devices("GPU")],
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def peak_memory() -> float:
    """The most memory that this process has held so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _cpu_field(name: str) -> str:
    path = pathlib.Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
