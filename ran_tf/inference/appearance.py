"""How alike faces are, whatever they express: what tells people apart.

The networks that name expressions have unlearnt who somebody is. FaceRes, which they began as, was
made for it: its 1,024 features before any training on expressions.
"""

import functools
import importlib.resources
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ran_tf.faces import align

# Side of the square that the network sees, as ArcFace cuts it.
_SIDE = 224

# From a photo u8[H, W, 3] and the landmarks of n faces in it, f32[5, 2] each, to f32[n, d]: the
# products of two rows say how alike two faces are, 1 for one and the same.
Appearance = Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]


def describe_faces(photo: np.ndarray, landmarks: Sequence[np.ndarray]) -> np.ndarray:
    """What the faces of a photo look like; an `Appearance`."""
    session = _open_session()
    (image,), (features,) = session.get_inputs(), session.get_outputs()
    described = np.zeros((len(landmarks), features.shape[1]), np.float32)
    for i, points in enumerate(landmarks):
        face = align.align_face(photo, points, size=_SIDE).image
        # One by one: larger batches take twice the time a face.
        described[i] = session.run(None, {image.name: face[np.newaxis]})[0][0]
    return described


@functools.cache
def _open_session() -> Any:
    import onnxruntime  # not before a video is: it takes a third of a second

    # Made by tests/fixtures/people_file.py.
    file = importlib.resources.files("ran_tf.inference") / "people_faceres.onnx"
    options = onnxruntime.SessionOptions()
    # Threads that wait by spinning take the processors from the detector: 18 ms a face, not 8.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        file.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
