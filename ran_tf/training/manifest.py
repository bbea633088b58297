"""Checksums of a folder: whether it is still what was written."""

import json
import os
import pathlib

from ran_tf import files

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


def check(folder: pathlib.Path) -> None:
    """Raises BrokenFolderError unless every file is there, byte for byte."""
    try:
        listed = json.loads((folder / NAME).read_bytes())["files"]
        for name, noted in listed.items():
            path = folder / name
            if path.stat().st_size != noted["bytes"]:
                raise BrokenFolderError(
                    f"{name} has {path.stat().st_size} bytes in place of {noted['bytes']}"
                )
            if files.sha256(path) != noted["sha256"]:
                raise BrokenFolderError(f"{name} does not have its checksum")
    except FileNotFoundError as error:
        raise BrokenFolderError(f"{pathlib.Path(error.filename).name} is missing") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenFolderError(f"{NAME} is damaged") from error


def sync(path: pathlib.Path) -> None:
    """Brings a file, or the names in a folder, to the disk: a rename is not there before."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
