"""MTCNN (Zhang et al. 2016, arXiv 1604.02878) through the package `mtcnn`, in batches.

The package's networks and box arithmetic are used as they are, with two changes. Its networks are
compiled into graphs. And the image pyramid ends where a level would be smaller than the first
network's 12 pixels: mtcnn 1.0.0 counts its levels without regard to `min_face_size`, so that a
large one fails inside, which it reports as "no face".
"""

import numpy as np
import tensorflow as tf

from ran_tf import backend

backend.require_keras_3()  # mtcnn's networks are made of tf.keras as it is imported
from mtcnn.stages import StageONet, StagePNet, StageRNet  # noqa: E402
from mtcnn.utils import bboxes as boxes_lib  # noqa: E402
from mtcnn.utils.images import normalize_images, scale_images  # noqa: E402

from ran_tf.faces.detect import DetectorConfig  # noqa: E402
from ran_tf.faces.face import Face  # noqa: E402
from ran_tf.faces.upright import turn_upright  # noqa: E402

_CELL = 12  # Side of the first network's window.
_SMALLEST_FACE = 20  # Pixels; the package's own limit.
_SCALE_FACTOR = 0.709
_MAX_PIXELS = 4_000_000  # Of one batch: bounds the memory.
# The package's thresholds of the first two stages; a lower final one lowers them too.
_MAX_FIRST, _MAX_SECOND = 0.6, 0.7


def create_search(config: DetectorConfig, *, threads: int | None = None):
    """Returns a function from (images u8[H,W,3] RGB, smallest sides in pixels) to lists of Face.

    Its threads are TensorFlow's own, whatever `threads` says.
    """
    backend.require_keras_3()
    with tf.device("CPU:0"), backend.layer_defaults("float32"):
        first, second, third = StagePNet(), StageRNet(), StageONet()
        networks = {
            "first": _compile(first, side=None),
            "second": _compile(second, side=24),
            "third": _compile(third, side=48),
        }
    # A stage calls the network it holds, and takes no other after it is built.
    for stage, name in ((second, "second"), (third, "third")):
        stage._model = networks[name]

    def search(images, min_sides):
        found: list[list[Face]] = [[] for _ in images]
        for positions in _batches_of_equal_shape(images, min_sides):
            batch = np.stack([images[i] for i in positions])
            min_side = max(_SMALLEST_FACE, float(min_sides[positions[0]]))
            with tf.device("CPU:0"):
                rows = _search_batch(
                    normalize_images(batch.astype(np.float32)),
                    min_side=min_side,
                    min_score=config.min_score,
                    first=networks["first"],
                    second=second,
                    third=third,
                )
            for row in rows:
                found[positions[int(row[0])]].append(_to_face(row))
        return found

    def search_and_turn(images, min_sides):
        return turn_upright(search, images, search(images, min_sides))

    return search_and_turn


def _compile(stage, *, side: int | None):
    spec = tf.TensorSpec([None, side, side, 3], tf.float32)
    return tf.function(stage.model, input_signature=[spec])


def _batches_of_equal_shape(images, min_sides) -> list[list[int]]:
    groups: dict[tuple, list[int]] = {}
    for position, (image, min_side) in enumerate(zip(images, min_sides, strict=True)):
        groups.setdefault((image.shape, min_side), []).append(position)
    batches = []
    for (shape, _), positions in groups.items():
        size = max(1, _MAX_PIXELS // (shape[0] * shape[1]))
        batches += [positions[i : i + size] for i in range(0, len(positions), size)]
    return batches


def _search_batch(images, *, min_side, min_score, first, second, third) -> np.ndarray:
    """Runs the three stages on f32[b,h,w,3].

    Returns:
      [n,16] rows: image, x1, y1, x2, y2, score, five x, five y.
    """
    _, height, width, _ = images.shape
    proposals = []
    scale = _CELL / min_side
    while scale * min(height, width) >= _CELL:
        offsets, probabilities = first(tf.cast(scale_images(images, scale), tf.float32))
        boxes = boxes_lib.generate_bounding_box(offsets, probabilities, min(_MAX_FIRST, min_score))
        boxes = boxes_lib.upscale_bboxes(boxes, np.full(len(images), scale))
        proposals.append(boxes_lib.smart_nms_from_bboxes(boxes, threshold=0.5, initial_sort=False))
        scale *= _SCALE_FACTOR
    boxes = np.concatenate(proposals) if proposals else np.empty((0, 6))
    boxes = boxes_lib.resize_to_square(boxes_lib.smart_nms_from_bboxes(boxes, threshold=0.7))
    # The stages fail on an empty list of boxes.
    if len(boxes):
        boxes = second(images, boxes, threshold_rnet=min(_MAX_SECOND, min_score))
    if len(boxes):
        return third(images, boxes, threshold_onet=min_score)
    return np.empty((0, 16))


def _to_face(row: np.ndarray) -> Face:
    x1, y1, x2, y2, score = row[1:6]
    return Face(
        box=np.array([y1, x1, y2, x2], np.float32),
        score=float(score),
        landmarks=np.stack([row[6:11], row[11:16]], axis=1).astype(np.float32),
    )
