"""Detectors of faces side by side: found, missed and made up, where landmarks lie, and time.

    RAN_TF_PHOTOS=photos python -m experiments.detectors --detectors=blazeface,mtcnn,yunet \\
        --yunet=face_detection_yunet_2026may.onnx --ferplus=ferplus/FER2013Valid

Photos: see tests/fixtures/photo_faces.py. FERPlus: 400 faces of 48 pixels, drawn with seed 0, as
`align --pad=0.25 --min_face=0.5` searches them. Landmarks are held against MTCNN's of the same
faces: the median distance as a fraction of that between the eyes. Times are of one processor, the
least of five searches of the astronaut (512 pixels).
"""

import pathlib
import time

import numpy as np
import skimage.data
from absl import app, flags

from ran_tf.faces import DetectorConfig, create_detector
from ran_tf.images import decoding
from tests.fixtures import photo_faces

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
_FACES = 400

flags.DEFINE_list("detectors", ["blazeface", "mtcnn"], "Which.")
flags.DEFINE_string("yunet", None, "YuNet's file.")
flags.DEFINE_string("retinaface", None, "RetinaFace's file.")
flags.DEFINE_string("ferplus", None, "FERPlus' folder FER2013Valid; none skips it.")


def make(name: str, min_score: float | None = None, **settings):
    weights = flags.FLAGS[name].value if name in ("yunet", "retinaface") else None
    config = DetectorConfig(name=name, weights=weights, min_score=min_score, **settings)
    return create_detector(config, threads=1)


def count_in_photos(name: str, threshold: float) -> dict[str, int]:
    # Anew for each threshold: what is found on the way decides where the search goes on.
    detect = make(name, threshold)
    row = {"found": 0, "missed": 0, "made up": 0}
    for photo_name, noses in photo_faces.NOSES.items():
        photo = photo_faces.read(photo_name)
        found, made_up = photo_faces.count(photo, detect([photo])[0], noses)
        row["found"] += found
        row["missed"] += len(noses) - found
        row["made up"] += made_up
    return row


def read_ferplus(folder: str) -> list[np.ndarray]:
    paths = sorted(pathlib.Path(folder).glob("*.png"))
    drawn = np.random.default_rng(0).choice(len(paths), _FACES, replace=False)
    return [decoding.read_image(paths[i]) for i in sorted(drawn)]


def best_of(faces):
    return max(faces, key=lambda face: face.score, default=None)


def milliseconds(name: str) -> float:
    detect, photo = make(name), skimage.data.astronaut()
    detect([photo])
    times = []
    for _ in range(5):
        start = time.process_time()
        detect([photo])
        times.append(time.process_time() - start)
    return 1000 * min(times)


def main(_) -> None:
    values = flags.FLAGS
    for name in values.detectors:
        print(f"{name}: {milliseconds(name):.1f} ms")
        for threshold in THRESHOLDS:
            print(f"  photos, score {threshold}: {count_in_photos(name, threshold)}", flush=True)
    if values.ferplus is None:
        return
    crops = read_ferplus(values.ferplus)
    found = {}
    for name in dict.fromkeys(["mtcnn", *values.detectors]):
        detect = make(name, THRESHOLDS[0], pad=0.25, min_face=0.5)
        found[name] = [best_of(faces) for faces in detect(crops)]
    for name in values.detectors:
        scores = np.array([0 if face is None else face.score for face in found[name]])
        counts = {t: int((scores >= t).sum()) for t in THRESHOLDS}
        apart = [
            np.hypot(*(one.landmarks - other.landmarks).T)
            / np.hypot(*(other.landmarks[0] - other.landmarks[1]))
            for one, other in zip(found[name], found["mtcnn"], strict=True)
            if one is not None and other is not None and other.score >= 0.9 and one.score >= 0.5
        ]
        medians = np.median(apart, axis=0).round(3).tolist()
        print(
            f"{name}: FERPlus, of {_FACES} by score: {counts}; from MTCNN's {medians}", flush=True
        )


if __name__ == "__main__":
    app.run(main)
