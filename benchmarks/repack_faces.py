"""FERPlus in two small files, for a machine that has Keras on JAX but neither TensorFlow nor TFDS.

    python benchmarks/repack_faces.py --manual_dir=FERPLUS --out=DIR

Writes, of Training and PublicTest only (PrivateTest stays at home), DIR/faces-N.webp (faces as
tiles of one picture, without loss) and DIR/faces-N.npz beside it: split ("train", "validation"),
id, votes f32[n, 8] (rows sum to 1) and label i8[n], -1 for the faces of the split `ambiguous`.
With `--parts` there are several of both, each with every so manieth face.
"""

import argparse
import pathlib

import cv2
import jax_faces
import numpy as np

from ran_tf import files
from tfds_builders.ferplus import ferplus_dataset_builder, source, votes

_COLUMNS = 256


def repack(manual_dir: pathlib.Path, out: pathlib.Path, *, parts: int) -> dict[str, int]:
    """Writes all files; returns the number of faces of each split."""
    _, faces = source.read_faces(manual_dir)
    splits = ferplus_dataset_builder.select(faces)
    del splits["test"]
    used = sorted((f for some in splits.values() for f in some), key=lambda face: face.id)
    out.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        _write(used[part::parts], out / f"faces-{part + 1}")
    return {s: sum(face.split == s for face in used) for s in ("train", "validation")}


def _write(used: list[source.Face], path: pathlib.Path) -> None:
    side, rows = jax_faces.SIDE, -(-len(used) // _COLUMNS)
    tiles = np.zeros((rows * _COLUMNS, side, side), np.uint8)
    tiles[: len(used)] = [face.pixels()[..., 0] for face in used]
    picture = np.einsum("rchw->rhcw", tiles.reshape(rows, _COLUMNS, side, side))
    picture = picture.reshape(rows * side, _COLUMNS * side)
    # Above 100 means without loss.
    written, encoded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert written
    with files.atomic_path(path.with_suffix(".webp")) as partial:
        partial.write_bytes(encoded.tobytes())
    labels = [votes.majority(face.votes) for face in used]
    with files.atomic_path(path.with_suffix(".npz")) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            split=np.array([face.split for face in used]),
            id=np.array([face.id for face in used]),
            votes=np.stack([votes.distribution(face.votes) for face in used]),
            label=np.array([-1 if label is None else label for label in labels], np.int8),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manual_dir", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--parts", type=int, default=1)
    arguments = parser.parse_args()
    print(repack(arguments.manual_dir, arguments.out, parts=arguments.parts))


if __name__ == "__main__":
    main()
