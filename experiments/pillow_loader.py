"""The released code's way to a batch, written anew: six region images a face, through Pillow.

    python experiments/pillow_loader.py --dataset=ferplus/majority --data_dir=DATA

There every region of every face is a PNG of its own on disk (the face 224 px, regions 168 px and
more); a Python loop decodes each, resizes it to 224 px and makes a float array, channels first.
Prints faces a second, and a second of processor time, to stand beside
`python -m ran_tf.launch.benchmark --suite=input`.
"""

import argparse
import pathlib
import tempfile
import time

import cv2
import numpy as np
from PIL import Image

import ran_tf
from ran_tf.regions import boxes

_SIDE = 224


def write_regions(faces: np.ndarray, folder: pathlib.Path) -> list[list[pathlib.Path]]:
    """Writes the six fixed regions of each face as PNG files.

    Args:
      faces: u8[n, h, w, 3].
      folder: exists.

    Returns:
      For each face the paths of its regions.
    """
    corners = np.rint(boxes.fixed_boxes(6) * _SIDE).astype(int)
    written = []
    for i, face in enumerate(faces):
        large = cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
        paths = [folder / f"{i}_{j}.png" for j in range(len(corners))]
        for path, (y0, x0, y1, x1) in zip(paths, corners, strict=True):
            Image.fromarray(large[y0:y1, x0:x1]).save(path)
        written.append(paths)
    return written


def load_face(paths: list[pathlib.Path]) -> np.ndarray:
    """The regions of a face: f32[k, 3, 224, 224] in 0..1."""
    return np.stack([_load(path) for path in paths])


def measure(faces: list[list[pathlib.Path]]) -> dict:
    """Faces a second, and a second of processor time."""
    load_face(faces[0])
    wall, core = time.perf_counter(), time.thread_time()
    for paths in faces:
        load_face(paths)
    wall, core = time.perf_counter() - wall, time.thread_time() - core
    return {"faces_per_s": len(faces) / wall, "faces_per_core_s": len(faces) / core}


def _load(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32).transpose(2, 0, 1) / 255.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="synthetic_faces")
    parser.add_argument("--data_dir")
    parser.add_argument("--faces", type=int, default=64)
    arguments = parser.parse_args()
    data = ran_tf.load_dataset(
        arguments.dataset, data_dir=arguments.data_dir, batch_size=arguments.faces, cache=False
    )
    faces = next(iter(data.validation))[0]["image"].numpy()
    with tempfile.TemporaryDirectory() as folder:
        print(measure(write_regions(faces, pathlib.Path(folder))))


if __name__ == "__main__":
    main()
