"""Five landmarks of RAF-DB's original images, from its annotation files.

`Annotation/manual/train_00001_manu_attri.txt`: the two eye centres, the tip of the nose and the two
mouth corners, each a line `x<TAB>y` in pixels of the original image, then gender, race and age.
"""

import numpy as np
from etils import epath

from tfds_builders.reading import text_files
from tfds_builders.reading.landmarks import UNKNOWN

_ENDING = "_manu_attri.txt"
# Five points, gender, race, age.
_LINES = 8


def find(root: epath.Path) -> dict[str, epath.Path]:
    """Annotation file by face id."""
    folder = root / "Annotation" / "manual"
    files = folder.iterdir() if folder.is_dir() else ()
    return {p.name.removesuffix(_ENDING): p for p in files if p.name.endswith(_ENDING)}


def read_landmarks(path: epath.Path | None, *, height: int, width: int) -> np.ndarray:
    """Reads a face's landmarks.

    Args:
        path: its annotation file; None where it has none.
        height, width: of its original image, in pixels.

    Returns:
        f32[5,2], x and y in 0..1: image-left eye, image-right eye, nose, image-left and image-right
        mouth corner. A point outside the image is moved to its border. NaN where there is no file.

    Raises:
        ValueError: the file does not have the published form.
    """
    if path is None:
        return UNKNOWN
    lines = text_files.read_text(path).split("\n")
    lines = [line for line in lines if line.strip()]
    if len(lines) != _LINES:
        raise ValueError(
            f"{path}: must have {_LINES} lines (five points, gender, race, age): unpack it again. "
            f"Received: {len(lines)} lines"
        )
    points = np.array([_point(x, path, i) for i, x in enumerate(lines[:5])])
    # The annotators' left may be the subject's: ours is the left of the image.
    points = np.concatenate([_by_x(points[:2]), points[2:3], _by_x(points[3:])])
    return np.clip((points + 0.5) / (width, height), 0, 1).astype(np.float32)


def _point(line: str, path: epath.Path, index: int) -> tuple[float, float]:
    try:
        x, y = (float(cell) for cell in line.split())
    except ValueError:
        x = y = np.nan
    if not np.isfinite([x, y]).all():
        raise ValueError(
            f"{path}, row {index + 1}: must be the x and y of a landmark in pixels: unpack it "
            f"again. Received: row={line!r}"
        )
    return x, y


def _by_x(pair: np.ndarray) -> np.ndarray:
    return pair[np.argsort(pair[:, 0], kind="stable")]
