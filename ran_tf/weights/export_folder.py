"""What lies in the folder of an export, read without TensorFlow; `export` writes it."""

import os
import pathlib
from collections.abc import Sequence

from ran_tf.weights.card import ModelCard

# The files that make a folder a SavedModel, or one that ONNX Runtime reads.
SAVED_MODEL, ONNX = "saved_model.pb", "model.onnx"
ASSETS, LABELS, CARD = "assets", "labels.txt", "card.json"


def find_version(
    export_dir: str | os.PathLike, *, files: Sequence[str] = (SAVED_MODEL,)
) -> pathlib.Path | None:
    """The newest version of an export, or the folder itself if it is one version; else None.

    Args:
      export_dir: with versions, or one.
      files: a version has one of them.
    """
    export_dir = pathlib.Path(export_dir).expanduser()

    def is_version(folder: pathlib.Path) -> bool:
        return any((folder / file).is_file() for file in files)

    if is_version(export_dir):
        return export_dir
    versions = [v for v in version_numbers(export_dir) if is_version(export_dir / str(v))]
    return export_dir / str(max(versions)) if versions else None


def read_card(version_dir: str | os.PathLike) -> ModelCard:
    """The card of an export.

    Raises:
      FileNotFoundError: for a SavedModel of another maker.
      ValueError: for a damaged card.
    """
    path = pathlib.Path(version_dir) / ASSETS / CARD
    if not path.is_file():
        raise FileNotFoundError(
            f"{ASSETS}/{CARD} is missing: not an export of ran_tf.launch.export. "
            f"Received: {str(version_dir)!r}"
        )
    return ModelCard.from_json(path.read_bytes(), source=str(path))


def version_numbers(export_dir: pathlib.Path) -> list[int]:
    """Every integer name in use, whatever stands there."""
    if not export_dir.is_dir():
        return []
    return sorted(
        int(p.name) for p in export_dir.iterdir() if p.name.isascii() and p.name.isdigit()
    )
