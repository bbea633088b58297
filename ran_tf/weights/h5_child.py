"""Copies the plain arrays of one HDF5 file: the process that `weights_file` starts.

    python h5_child.py SOURCE OUT.h5

OUT holds the groups and the arrays of numbers of SOURCE, written anew, so that nothing in it is as
a stranger laid it out.
"""

import os
import sys

# Filters are libraries that HDF5 loads by a number in the file: none of them.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import h5py
import numpy as np

# Keras' word that two bytes are a bfloat16, and `weights_file`'s on the whole.
_ATTRIBUTES = ("dtype", "ran_tf")


def copy_arrays(source: str, out: str) -> None:
    """Copies what a weights file may hold; links to elsewhere are left out.

    Raises:
      ValueError: for whatever is wrong with `source`, in one line.
    """
    try:
        with h5py.File(source, "r") as old, h5py.File(out, "w") as new:
            _copy_attributes(old, new)
            # Not compressed, arrays take no more than the file: a few bytes can otherwise stand for
            # any number of zeros.
            left = os.path.getsize(source)

            def copy(name: str, item) -> None:
                nonlocal left
                if isinstance(item, h5py.Dataset):
                    left -= _checked_bytes(item)
                    if left < 0:
                        raise ValueError(
                            f"the arrays up to {item.name[-160:]!r} take more bytes than the "
                            "file. If the arrays are compressed, unpack them (h5repack -f NONE). "
                            f"Received: shape={item.shape}"
                        )
                    _copy_attributes(item, new.create_dataset(name, data=item[()]))
                else:
                    new.require_group(name)

            # Each object once, and no links.
            old.visititems(copy)
    except MemoryError:
        raise
    # Any exception may come out of a parser of damaged bytes.
    except Exception as error:
        text = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(
            f"it is damaged, or holds more than arrays ({type(error).__name__}: {text[:400]})"
        ) from error


def _checked_bytes(array: h5py.Dataset) -> int:
    where = repr(array.name[-160:])
    if array.external or array.is_virtual:
        raise ValueError(f"{where} keeps its numbers in other files")
    plain = array.dtype.kind in "fiub" or array.dtype == "V2"  # bfloat16, as Keras writes it
    if not plain or array.dtype.itemsize > 8 or array.shape is None:
        raise ValueError(f"{where} is not an array of numbers. Received: dtype={array.dtype}")
    # Of the numbers that it says, not of those that are stored.
    return array.dtype.itemsize * int(np.prod([int(n) for n in array.shape], dtype=object))


def _copy_attributes(old, new) -> None:
    for key in _ATTRIBUTES:
        if key in old.attrs:
            value = old.attrs[key]
            new.attrs[key] = value.decode("utf-8") if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    copy_arrays(*sys.argv[1:])
