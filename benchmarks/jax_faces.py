"""Reads what `repack_faces.py` writes, without TensorFlow."""

import pathlib

import cv2
import numpy as np

SIDE = 48  # pixels of a face


def read_faces(folder: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    """Reads every part in a folder: by split image u8[n, 48, 48, 1], id, votes and label."""
    parts = [_read(path) for path in sorted(folder.glob("faces-*.npz"))]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    split = arrays.pop("split")
    return {
        name: {key: value[split == name] for key, value in arrays.items()}
        for name in ("train", "validation")
    }


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    arrays = dict(np.load(path))
    picture = cv2.imread(str(path.with_suffix(".webp")), cv2.IMREAD_GRAYSCALE)
    rows, columns = (side // SIDE for side in picture.shape)
    tiles = np.einsum("rhcw->rchw", picture.reshape(rows, SIDE, columns, SIDE))
    arrays["image"] = tiles.reshape(-1, SIDE, SIDE, 1)[: len(arrays["label"])]
    return arrays
