"""Folders, zip files and NumPy archives of strangers, read within bounds.

Nothing is unpacked to the disk, so that no name in an archive leads anywhere; nothing is unpickled.
What an archive says of its sizes is checked before memory is taken.
"""

import io
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

WEIGHTS, CARD, KNOWN, README = FILES = (
    "weights.npz",
    "card.json",
    "known_output.json",
    "README.md",
)
# What unpacks to more times its size is refused. Weights do not get smaller by packing, so a preset
# of ours unpacks to about itself.
_MOST_UNPACKED = 4
# Of one array of an archive, before its numbers.
_NPY_HEADER = 2**14


def read_files(path: pathlib.Path, *, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Reads some files of a folder or zip file.

    Args:
      path: the folder, or a zip file of its files, perhaps within one folder.
      limits: names of the files, and how many bytes each may have.

    Returns:
      Contents by name.

    Raises:
      FileNotFoundError: if one of them is missing.
      ValueError: if it is another file or damaged, holds a file twice, or exceeds the limits.
    """
    if not path.is_file():
        _require_all(limits, {name for name in limits if (path / name).is_file()}, path=path)
        for name, limit in limits.items():
            _check_size(name, (path / name).stat().st_size, limit=limit, path=path)
        return {name: (path / name).read_bytes() for name in limits}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, limits=limits, path=path)
            return {name: archive.read(entry) for name, entry in entries.items()}
    except (FileNotFoundError, _RefusedError):
        raise
    # The parser raises whatever comes of strange bytes.
    except Exception as error:
        raise ValueError(
            f"a preset must be a folder or a zip file. Received: {str(path)!r}: "
            f"{type(error).__name__}: {str(error)[:200]}"
        ) from error


class _RefusedError(ValueError):
    """An archive that can be read holds what it should not."""


def _entries(archive, *, limits: Mapping[str, int], path) -> dict[str, zipfile.ZipInfo]:
    """The entries of the wanted names: at the top, or else in one folder."""
    found: dict[str, list[zipfile.ZipInfo]] = {name: [] for name in limits}
    for entry in archive.infolist():
        folder, _, name = entry.filename.rpartition("/")
        if name in limits and "/" not in folder:
            found[name].append(entry)
    top = {name: [e for e in entries if "/" not in e.filename] for name, entries in found.items()}
    if any(top.values()):
        found = top
    _require_all(limits, {name for name, entries in found.items() if entries}, path=path)
    twice = [name for name, entries in found.items() if len(entries) > 1]
    if twice:
        raise _RefusedError(
            f"a preset must hold each file once. Received: {str(path)!r} with {', '.join(twice)} "
            "twice"
        )
    entries = {name: one for name, (one,) in found.items()}
    for name, entry in entries.items():
        _check_size(name, entry.file_size, limit=limits[name], path=path)
    unpacked = sum(entry.file_size for entry in entries.values())
    most = _MOST_UNPACKED * path.stat().st_size + 2**16
    if unpacked > most:
        raise _RefusedError(
            f"a preset of this size must unpack to at most {most:,} bytes. "
            f"Received: {str(path)!r} of {unpacked:,} bytes unpacked"
        )
    return entries


def _require_all(limits, found: set[str], *, path: pathlib.Path) -> None:
    missing = [name for name in limits if name not in found]
    if missing:
        raise FileNotFoundError(
            f"a preset must hold {', '.join(limits)}; {', '.join(missing)} is missing. "
            f"Received: {str(path)!r}"
        )


def _check_size(name: str, size: int, *, limit: int, path: pathlib.Path) -> None:
    if size > limit:
        raise _RefusedError(
            f"{name} of a preset must have at most {limit:,} bytes. "
            f"Received: {size:,} bytes in {str(path)!r}"
        )


def read_arrays(
    data: bytes, *, shapes: Mapping[str, tuple[int, ...]], source: str | os.PathLike
) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file.

    Args:
      data: the file.
      shapes: of the arrays that it must hold, all and no others, by name.
      source: the preset, for errors.

    Returns:
      f32 arrays by name, all finite.

    Raises:
      ValueError: if it is damaged, or holds others.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            wrong = sorted(shapes.keys() ^ set(arrays.files))
            for name in sorted(shapes.keys() & set(arrays.files)):
                # Before the array is made: its header may claim anything.
                most = 8 * math.prod(shapes[name]) + _NPY_HEADER
                if arrays.zip.getinfo(f"{name}.npy").file_size > most:
                    wrong.append(name)
            if not wrong:
                # What is finite in 64 bits may not be in 32.
                with np.errstate(over="ignore"):
                    found = {name: _as_float32(arrays[name]) for name in shapes}
                wrong = sorted(name for name in shapes if not _fits(found[name], shapes[name]))
    # The parsers of both formats raise whatever comes of strange bytes.
    except Exception as error:
        raise ValueError(
            f"the weights of a preset must be a NumPy archive of plain arrays. "
            f"Received: {str(source)!r}: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    if wrong:
        raise ValueError(
            f"the weights of a preset must be those of the network on its card, and finite; "
            f"{len(wrong)} differ: {', '.join(wrong[:5])}. Received: {str(source)!r}"
        )
    return found


def _as_float32(array) -> np.ndarray | None:
    # What is no .npy file comes as bytes.
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        return array.astype(np.float32)
    return None


def _fits(array: np.ndarray | None, shape: tuple[int, ...]) -> bool:
    return array is not None and array.shape == shape and bool(np.isfinite(array).all())
