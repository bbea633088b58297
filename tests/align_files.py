"""Photos to align, and the tables of `ran_tf.launch.align`."""

import csv

import cv2
import numpy as np
import skimage.data

from ran_tf.faces.detect import DetectorConfig

COLUMNS = [
    f"{side}_{axis}"
    for side in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in "xy"
]
TIGHT = DetectorConfig(name="mtcnn", pad=0.25, min_face=0.5)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))[1])


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def points(row):
    return np.array([float(row[name]) for name in COLUMNS]).reshape(5, 2)


def write_tight_faces(folder):
    """Writes 240 faces of 48 pixels, shifted and lit in many ways."""
    rng = np.random.default_rng(0)
    photo = skimage.data.astronaut()
    for i in range(240):
        y, x, side = rng.integers((52, 158, 112), (66, 172, 124))
        crop = photo[y : y + side, x : x + side] * rng.uniform(0.7, 1.0)
        crop = cv2.resize(crop.astype(np.uint8), (48, 48), interpolation=cv2.INTER_AREA)
        write(folder / f"fer{i:07d}.png", crop)
    return folder
