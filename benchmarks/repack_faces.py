"""FERPlus in two small files, for a machine that has Keras on JAX but neither TensorFlow nor TFDS.

    python benchmarks/repack_faces.py --manual_dir=FERPLUS --out=DIR

Writes, of Training and PublicTest only (PrivateTest stays at home), DIR/faces-N.webp (faces as
tiles of one picture, without loss) and DIR/faces-N.npz beside it: split ("train", "validation"),
id, votes f32[n, 8] (rows sum to 1) and label i8[n], -1 for a face whose annotators do not agree.
Such faces are of Training only, and only where at least half of the ten votes are for emotions.
With `--parts` there are several of both, each with every so manieth face.
"""

import argparse
import pathlib

import cv2
import jax_faces
import numpy as np

from ran_tf import files
from tfds_builders.features import FERPLUS_EMOTIONS
from tfds_builders.ferplus import source, votes

_COLUMNS = 256


def emotion_votes(face: source.Face) -> np.ndarray | None:
    """Share of each emotion, or None for a face that is not used."""
    if votes.majority(face.votes) is not None:
        return votes.distribution(face.votes)
    counts = np.asarray(face.votes[: len(FERPLUS_EMOTIONS)], np.float32)
    if face.split != "train" or 2 * counts.sum() < np.sum(face.votes):
        return None
    return counts / counts.sum()


def repack(manual_dir: pathlib.Path, out: pathlib.Path, *, parts: int) -> dict[str, int]:
    """Writes all files; returns the number of faces of each split."""
    _, faces = source.read_faces(manual_dir)
    used = [(f, v) for f in faces if f.split != "test" and (v := emotion_votes(f)) is not None]
    out.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        _write(used[part::parts], out / f"faces-{part + 1}")
    return {s: sum(f.split == s for f, _ in used) for s in ("train", "validation")}


def _write(used: list[tuple[source.Face, np.ndarray]], path: pathlib.Path) -> None:
    side, rows = jax_faces.SIDE, -(-len(used) // _COLUMNS)
    tiles = np.zeros((rows * _COLUMNS, side, side), np.uint8)
    tiles[: len(used)] = [face.pixels()[..., 0] for face, _ in used]
    picture = np.einsum("rchw->rhcw", tiles.reshape(rows, _COLUMNS, side, side))
    picture = picture.reshape(rows * side, _COLUMNS * side)
    # Above 100 means without loss.
    written, encoded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert written
    with files.atomic_path(path.with_suffix(".webp")) as partial:
        partial.write_bytes(encoded.tobytes())
    labels = [votes.majority(face.votes) for face, _ in used]
    with files.atomic_path(path.with_suffix(".npz")) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            split=np.array([face.split for face, _ in used]),
            id=np.array([face.id for face, _ in used]),
            votes=np.stack([v for _, v in used]),
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
