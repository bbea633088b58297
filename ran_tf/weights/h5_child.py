"""Copies the plain arrays of one HDF5 file: the process that `weights_file` starts.

    python h5_child.py SOURCE OUT.h5

OUT holds the groups, the arrays of numbers and the short attributes of SOURCE, written anew, so
that nothing in it is as a stranger laid it out. Where SOURCE holds anything else, the status is not
0 and the last line of output is JSON with `error`, one line for people.
"""

import json
import os
import sys

# Filters are libraries that HDF5 loads by a number in the file: none of them.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import h5py
import numpy as np

MAX_OBJECTS, MAX_DEPTH, MAX_ATTRIBUTE = 100_000, 64, 2**16


class Refused(ValueError):
    """The file holds what no weights file does."""


def copy_arrays(source: str, out: str) -> None:
    """Copies what a weights file may hold.

    Raises:
      ValueError: for whatever is wrong with `source`, in one line; `Refused` if it can be read.
    """
    try:
        with h5py.File(source, "r") as old, h5py.File(out, "w") as new:
            _Copy(left=os.path.getsize(source)).group(old, new, depth=0)
    except (Refused, MemoryError):
        raise
    # Any exception may come out of a parser of damaged bytes.
    except Exception as error:
        text = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(
            f"it is damaged or another kind of file ({type(error).__name__}: {text[:160]})"
        ) from error


class _Copy:
    """One copy, and what it has left to read.

    Args:
      left: bytes that arrays may still take. Together they take no more than the file, since they
        are not compressed: a few bytes can otherwise stand for any number of zeros.
    """

    def __init__(self, *, left: int):
        self._left = left
        self._seen = set()

    def group(self, old, new, *, depth: int) -> None:
        self._note(old)
        if depth > MAX_DEPTH:
            raise Refused(f"its groups lie more than {MAX_DEPTH} deep")
        _copy_attributes(old, new)
        for name in old:
            # Others lead anywhere in the file, or into other files.
            if not isinstance(old.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"{_name(old, name)} is a link, not a group or an array")
            child = old[name]
            if isinstance(child, h5py.Group):
                self.group(child, new.create_group(name), depth=depth + 1)
            elif isinstance(child, h5py.Dataset):
                self._array(child, new, name)
            else:
                raise Refused(f"{_name(old, name)} is neither a group nor an array")

    def _array(self, old, new, name: str) -> None:
        self._note(old)
        where = _name(old.parent, name)
        if old.external or old.is_virtual:
            raise Refused(f"{where} keeps its numbers in other files")
        plain = old.dtype.kind in "fiub" or old.dtype == "V2"  # bfloat16, as Keras writes it
        if not plain or old.dtype.itemsize > 8 or old.shape is None:
            raise Refused(f"{where} is no array of numbers. Received: dtype={old.dtype}")
        # Of the numbers that it says, not of those that are stored.
        size = old.dtype.itemsize * int(np.prod([int(n) for n in old.shape], dtype=object))
        self._left -= size
        if self._left < 0:
            raise Refused(
                f"up to {where} its arrays take more bytes than the file; if they are compressed, "
                f"unpack them (h5repack -f NONE). Received: shape={old.shape}"
            )
        _copy_attributes(old, new.create_dataset(name, data=old[()]))

    def _note(self, item) -> None:
        """An object that is there twice may contain itself."""
        address = h5py.h5o.get_info(item.id).addr
        if address in self._seen:
            raise Refused(f"{item.name!r} is in the file under two names")
        self._seen.add(address)
        if len(self._seen) > MAX_OBJECTS:
            raise Refused(f"it holds more than {MAX_OBJECTS:,} groups and arrays")


def _name(group, name: str) -> str:
    return repr(f"{group.name.rstrip('/')}/{name}"[-160:])


def _copy_attributes(old, new) -> None:
    for key in old.attrs:
        where = f"the attribute {key[:80]!r} of {old.name[-160:]!r}"
        if old.attrs.get_id(key).get_storage_size() > MAX_ATTRIBUTE:
            raise Refused(f"{where} takes more than {MAX_ATTRIBUTE:,} bytes")
        value = old.attrs[key]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if not isinstance(value, (str, np.number, np.bool_)) or len(str(value)) > MAX_ATTRIBUTE:
            raise Refused(f"{where} is neither a short text nor a number")
        new.attrs[key] = value


def main(source: str, out: str) -> int:
    try:
        copy_arrays(source, out)
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
