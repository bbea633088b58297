"""Five landmarks of RAF-DB's original images, from its annotation files.

`Annotation/manual/train_00001_manu_attri.txt`: the two eye centres, the tip of the nose and the two
mouth corners, each a line `x<TAB>y` in pixels of the original image, then gender, race and age.

`Annotation/auto/train_00001_auto_attri.txt`: 37 points by the Face++ interface, one a line. Their
order is undocumented. Here it is taken to be brows 3 + 3, nose 7, eyes 6 + 6, mouth 12, as public
code draws them (unverified); the eyes and the nose are then the means of their points, and the
mouth corners the outermost points of the mouth. Used only where a face has no manual file.
"""

import numpy as np
from etils import epath

from tfds_builders.reading import text_files
from tfds_builders.reading.landmarks import UNKNOWN

_MANUAL_LINES, _AUTO_LINES = 8, 37
_NOSE, _EYES, _MOUTH = slice(6, 13), (slice(13, 19), slice(19, 25)), slice(25, 37)


def find(root: epath.Path) -> dict[str, epath.Path]:
    """Annotation file by face id, the manual one where there are both."""
    found: dict[str, epath.Path] = {}
    for kind, ending in (("auto", "_auto_attri.txt"), ("manual", "_manu_attri.txt")):
        folder = root / "Annotation" / kind
        if folder.is_dir():
            found |= {
                path.name.removesuffix(ending): path
                for path in folder.iterdir()
                if path.name.endswith(ending)
            }
    return found


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
    is_manual = path.name.endswith("_manu_attri.txt")
    expected = _MANUAL_LINES if is_manual else _AUTO_LINES
    if len(lines) != expected:
        raise ValueError(
            f"{path}: must have {expected} lines"
            f"{' (five points, gender, race, age)' if is_manual else ''}: unpack it again. "
            f"Received: {len(lines)} lines"
        )
    points = np.array([_point(x, path, i) for i, x in enumerate(lines[: 5 if is_manual else 37])])
    if not is_manual:
        points = _five_of(points)
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


def _five_of(points: np.ndarray) -> np.ndarray:
    """Face++'s 37 points as five: f64[37,2] -> f64[5,2]."""
    eyes = np.array([points[eye].mean(axis=0) for eye in _EYES])
    mouth = points[_MOUTH]
    along = mouth @ (eyes[1] - eyes[0])  # faces may lie on their side
    corners = mouth[[along.argmin(), along.argmax()]]
    return np.concatenate([eyes, [points[_NOSE].mean(axis=0)], corners])


def _by_x(pair: np.ndarray) -> np.ndarray:
    return pair[np.argsort(pair[:, 0], kind="stable")]
