"""YuNet (Wu et al. 2023, doi 10.1007/s11633-023-1423-y) through OpenCV's `FaceDetectorYN`.

OpenCV's wheel does not bring the network's file (230 kB, MIT); no registry does, either.
"""

import threading
from pathlib import Path

import cv2
import numpy as np

from ran_tf.faces.detect import DetectorConfig
from ran_tf.faces.face import Face
from ran_tf.weights import fetch

_SOURCE = "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet"
# Faces of so many pixels are found: photos are shrunk until the smallest asked for has them, but
# not below that longer side, to which smaller ones are enlarged.
_FACE, _LEAST_SIDE = 16, 160
_SAME, _MOST = 0.3, 5000


def find_weights(config: DetectorConfig) -> Path:
    """The path of the network's file.

    Raises:
      FileNotFoundError: it is not there, or none is given; says where it is to be had.
    """
    path = None if config.weights is None else fetch.local_path(config.weights)
    if path is None or not path.is_file():
        raise FileNotFoundError(
            "the detector yunet needs the file of its network. If you trust the source, get "
            "face_detection_yunet_2026may.onnx (face_detection_yunet_2023mar.onnx for OpenCV 4) "
            f"from {_SOURCE}. Then give the file, or its URL#sha256=HEX, as "
            "--detector_weights=FILE or DetectorConfig(weights=FILE). Received: "
            f"weights={config.weights!r}"
        )
    return path


def create_search(config: DetectorConfig, *, threads: int | None = None):
    """Returns a function from (images u8[H,W,3] RGB, smallest sides in pixels) to lists of Face.

    Its threads are OpenCV's own, whatever `threads` says.
    """
    path = find_weights(config)
    try:
        network = cv2.FaceDetectorYN.create(
            str(path), "", (_LEAST_SIDE, _LEAST_SIDE), config.min_score or 0.0, _SAME, _MOST
        )
    except cv2.error as error:
        raise ValueError(
            f"{path} is not a YuNet network that this OpenCV can read. The download may be "
            f"broken, or made for another version of OpenCV. Received: {path.stat().st_size:,} "
            f"bytes, OpenCV {cv2.__version__}"
        ) from error
    one_at_a_time = threading.Lock()

    def find(image: np.ndarray) -> np.ndarray:
        with one_at_a_time:
            network.setInputSize(image.shape[1::-1])
            found = network.detect(image)[1]
        return np.empty((0, 15)) if found is None else found

    def search(images, min_sides):
        results = []
        for image, min_side in zip(images, min_sides, strict=True):
            least = _LEAST_SIDE / max(image.shape[:2])
            scale = max(least, min(1.0, _FACE / max(min_side, 1)))
            size = np.maximum(1, np.round(np.multiply(image.shape[1::-1], scale))).astype(int)
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            small = cv2.resize(image, size.tolist(), interpolation=how)
            rows = find(np.ascontiguousarray(small[:, :, ::-1]))  # BGR, as OpenCV reads
            results.append([_to_face(row, factor=size / image.shape[1::-1]) for row in rows])
        return results

    return search


def _to_face(row: np.ndarray, *, factor: np.ndarray) -> Face:
    """Of x, y, width, height, the points' x, y, and the score, in a photo resized by a factor."""
    points = (np.concatenate([row[:2], row[:2] + row[2:4], row[4:14]]).reshape(7, 2) + 0.5) / factor
    points = (points - 0.5).astype(np.float32)
    box = np.concatenate([points[0, ::-1], points[1, ::-1]])
    return Face(box=box, score=float(row[14]), landmarks=points[2:])
