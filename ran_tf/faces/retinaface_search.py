"""RetinaFace (Deng et al. 2020, arXiv 1905.00641) through the package `retina-face`.

Its ONNX engine is used, always: its TensorFlow engine asks for Keras 2 by an environment variable,
which would take Keras 3 away from the rest of the process.
"""

import os
import warnings
from pathlib import Path

import numpy as np

from ran_tf.faces.detect import DetectorConfig
from ran_tf.faces.face import Face
from ran_tf.weights import fetch

_ENGINE_VARIABLE = "DEEPFACE_BACKEND_ENGINE"


def weights_path() -> Path:
    """Where retina-face looks for its ONNX weights: below $DEEPFACE_HOME, or the home folder."""
    home = os.environ.get("DEEPFACE_HOME") or str(Path.home())
    return Path(home) / ".deepface" / "weights" / "retinaface.onnx"


def find_weights(config: DetectorConfig) -> Path:
    """The path of the weights: `config.weights`, or where retina-face looks for them.

    retina-face would download them unasked, and nobody states a checksum for them: that is left to
    the user.

    Raises:
      FileNotFoundError: they are not there; says where they are to be had and where they belong.
    """
    path = weights_path() if config.weights is None else fetch.local_path(config.weights)
    if path.is_file():
        return path
    _import_retinaface()
    from retinaface.model.retinaface_onnx_model import WEIGHTS_URLS

    old = path.with_suffix(".h5")
    remark = (
        f" ({old} exists, but is for the TensorFlow engine of retinaface.)" if old.exists() else ""
    )
    raise FileNotFoundError(
        f"the weights of retinaface must be at {path}.{remark} They are not downloaded "
        "automatically, and no checksum of them is published. If you trust the source, fetch "
        f"{' or '.join(WEIGHTS_URLS)} and put the file there. For another place, set "
        "DEEPFACE_HOME, or name the file with --detector_weights. --detector=mtcnn brings its "
        f"own weights. Received: DEEPFACE_HOME={os.environ.get('DEEPFACE_HOME')!r}"
    )


def create_search(config: DetectorConfig, *, threads: int | None = None):
    """Returns a function from (images u8[H,W,3] RGB, smallest sides in pixels) to lists of Face.

    Args:
      config: its `min_score` is the lowest confidence; with `upscale` small photos are enlarged to
        a shorter side of 1,024 pixels, as retina-face does.
      threads: of one search; None takes one for each core.
    """
    path = find_weights(config)
    retinaface = _import_retinaface()
    import onnxruntime
    from retinaface.model.retinaface_onnx_model import RetinaFace

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise ValueError(
            f"{path} is not a readable ONNX model; the download may be broken. Delete it and "
            f"fetch it again. Received: {path.stat().st_size:,} bytes"
        ) from error
    model = RetinaFace(session)

    def search(images, min_sides):
        results = []
        for image, min_side in zip(images, min_sides, strict=True):
            found = retinaface.detect_faces(
                np.ascontiguousarray(image[:, :, ::-1]),  # BGR, as OpenCV reads.
                threshold=config.min_score,
                model=model,
                allow_upscaling=config.upscale,
            )
            faces = [_to_face(face) for face in found.values()]
            results.append([face for face in faces if _side(face) >= min_side])
        return results

    return search


def _to_face(found: dict) -> Face:
    x1, y1, x2, y2 = found["facial_area"]
    points = found["landmarks"]
    # "right" is the person's right, the left of the image; `order_landmarks` settles it.
    names = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
    return Face(
        box=np.array([y1, x1, y2, x2], np.float32),
        score=float(found["score"]),
        landmarks=np.array([points[name] for name in names], np.float32),
    )


def _side(face: Face) -> float:
    y0, x0, y1, x1 = face.box
    return max(y1 - y0, x1 - x0)


def _import_retinaface():
    """Imports retina-face on its ONNX engine, and undoes what its import does to the process."""
    before = os.environ.get(_ENGINE_VARIABLE)
    os.environ[_ENGINE_VARIABLE] = "onnx"
    try:
        # Its import silences the warnings of the whole process.
        with warnings.catch_warnings():
            from retinaface import RetinaFace as retinaface
            from retinaface.commons import backend_utils
    finally:
        if before is None:
            del os.environ[_ENGINE_VARIABLE]
        else:
            os.environ[_ENGINE_VARIABLE] = before
    if not backend_utils.is_onnx():
        raise RuntimeError(
            "retina-face was imported earlier in this process with another engine, which cannot be "
            f"changed: set {_ENGINE_VARIABLE}=onnx before its first import. Received: "
            f"engine={backend_utils.get_backend_engine()!r}"
        )
    return retinaface
