"""Real data for the tests that want it; they skip where it is not there."""

import fcntl
import functools
import os
import pathlib
import tarfile

import pytest

_CACHE = pathlib.Path("~/.cache/ran_tf").expanduser()


@functools.cache
def require(name: str) -> pathlib.Path:
    """The folder of a real dataset; skips the test where there is none.

    Args:
        name: "ferplus" (the folder that holds `FER2013Train/` and its like) or "ran_lists" (the
          authors' lists).

    The folder is looked up in the environment variable RAN_TF_DATA, else in `../shared/data`. A
    `<name>.tar.gz` there is unpacked once into a cache.
    """
    checkout = pathlib.Path(__file__).resolve().parents[1]
    data = pathlib.Path(os.environ.get("RAN_TF_DATA") or checkout.parent / "shared" / "data")
    if (data / name).is_dir():
        return data / name
    archive = data / f"{name}.tar.gz"
    if not archive.exists():
        pytest.skip(f"no {name} in {data}: set RAN_TF_DATA to the folder that holds it")
    return _unpack(archive, name=name)


def _unpack(archive: pathlib.Path, *, name: str) -> pathlib.Path:
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel test processes unpack once
        if not (_CACHE / name).is_dir():
            partial = _CACHE / f"{name}.partial"
            with tarfile.open(archive) as tar:
                tar.extractall(partial, filter="data")
            (partial / name).rename(_CACHE / name)
    return _CACHE / name
