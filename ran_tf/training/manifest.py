"""Checksums of a folder: whether it is still what was written."""

import json
import os
import pathlib
from collections.abc import Iterable

from ran_tf.safety import files

NAME = "manifest.json"


class BrokenFolderError(RuntimeError):
    """A folder is not what its manifest says; the message says in what."""


def write(folder: pathlib.Path) -> None:
    """Notes size and SHA-256 of every file in `folder`, and brings all of it to the disk.

    The manifest comes last: without one a folder is not whole.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        found[path.name] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
        sync(path)
    path = folder / NAME
    path.write_text(json.dumps({"files": found}, indent=2), encoding="utf-8")
    sync(path)
    sync(folder)


def check(folder: pathlib.Path, *, needed: Iterable[str] = ()) -> None:
    """Checks that every file is there, byte for byte.

    Args:
      folder: what `write` was called for.
      needed: names of files without which it is not whole, whatever its manifest lists.

    Raises:
      BrokenFolderError: if it is no folder, a file is missing or another than it was, or the
        manifest is damaged.
    """
    if not folder.is_dir():
        raise BrokenFolderError("it is not a folder")
    try:
        listed = json.loads((folder / NAME).read_bytes())["files"]
        if absent := [name for name in needed if name not in listed]:
            raise BrokenFolderError(f"{NAME} does not list {', '.join(absent)}")
        for name, noted in listed.items():
            path = folder / name
            if path.stat().st_size != noted["bytes"]:
                raise BrokenFolderError(
                    f"{name} has {path.stat().st_size} bytes instead of {noted['bytes']}"
                )
            if files.sha256(path) != noted["sha256"]:
                raise BrokenFolderError(f"{name} does not have its checksum")
    except FileNotFoundError as error:
        raise BrokenFolderError(f"{pathlib.Path(error.filename).name} is missing") from error
    except IsADirectoryError as error:
        raise BrokenFolderError(f"{pathlib.Path(error.filename).name} is a folder") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenFolderError(f"{NAME} is damaged") from error


def sync(path: pathlib.Path) -> None:
    """Brings a file, or the names in a folder, to the disk: a rename is not there before."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
