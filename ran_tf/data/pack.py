"""From a prepared TFDS dataset to `packed` faces."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from ran_tf.config import DataConfig
from ran_tf.data import packed, prepared, reader
from ran_tf.safety import files

_TOGETHER = 256


def pack(
    dataset: str,
    out: str | os.PathLike,
    *,
    data_dir: str | None = None,
    splits: Sequence[str] = (),
    image_size: int | tuple[int, int] | None = None,
) -> str:
    """Writes a prepared dataset as plain files, for training on a machine without TensorFlow.

    Args:
      dataset: a TFDS name, perhaps with a config after a slash.
      out: folder to write; made if absent. It must not hold packed faces.
      data_dir: TFDS directory; TFDS' default when None.
      splits: names of the splits to write; all when empty.
      image_size: size that faces are resized to: a side in pixels, or (height, width). None keeps
        the faces as they are; then all must have one size.

    Returns:
      One line that says what was written.

    Raises:
      ValueError: for an unknown dataset or split, faces of several sizes, or `out` that cannot be
        written.
      FileExistsError: if `out` holds packed faces.
      FileNotFoundError: if the dataset is not prepared.
      DamagedDatasetError: if a file of it is damaged.

    Example:
      >>> said = ran_tf.prepare("synthetic_faces")
      >>> ran_tf.pack("synthetic_faces", "faces", splits=["validation"]).partition(":")[0]
      'synthetic_faces/1.0.0'
    """
    out = pathlib.Path(out).expanduser()
    files.check_folder("out", out)
    if packed.is_packed(out):
        raise FileExistsError(f"`out` holds packed faces already. Received: out={str(out)!r}")
    opened = prepared.open_dataset(DataConfig(name=dataset, data_dir=data_dir))
    known = opened.builder.info.splits
    if unknown := sorted(set(splits) - set(known)):
        raise ValueError(
            f"`splits` must be among {', '.join(known)}. Received: splits={', '.join(unknown)}"
        )
    own = opened.builder.info.features["image"].shape[:2]
    if image_size is None and None in own:
        raise ValueError(
            f"`image_size` is needed for {opened.full_name}, whose faces may differ in size. "
            "Received: image_size=None"
        )
    size = (image_size, image_size) if isinstance(image_size, int) else image_size or own
    written, size_of_all = {}, 0
    # A split of no faces is none.
    for name in [name for name in splits or known if known[name].num_examples]:
        shards = [faces for faces in known[name].shard_lengths if faces]
        with opened.damage_explained():
            arrays = _read(opened, name, size=size)
        with files.atomic_path(out / f"{name}.npz") as partial:
            np.savez_compressed(partial, allow_pickle=False, **arrays)
        path = out / f"{name}.npz"
        size_of_all += path.stat().st_size
        written[name] = {"faces": sum(shards), "sha256": files.sha256(path), "shards": shards}
    cut = opened.framing()
    index = {
        "format": packed.FORMAT,
        "name": opened.name,
        "full_name": opened.full_name,
        "labels": list(opened.labels),
        "framing": cut and dataclasses.asdict(cut),
        "splits": written,
    }
    # Last: a folder with it is whole.
    files.write_text(out / packed.INDEX, json.dumps(index, indent=1))
    said = ", ".join(f"{name} {split['faces']:,}" for name, split in written.items())
    return f"{opened.full_name}: {said} faces in {out}, {size_of_all / 2**20:.1f} MiB"


def _read(opened: prepared.Dataset, split: str, *, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The arrays of a split, as `packed` has them."""
    features = opened.builder.info.features
    by_target = {
        target: reader.Decoder(features, size=size, target=target)
        for target in (("label", "votes") if opened.has_votes else ("label",))
    }
    names = {"landmarks", "occlusion", "pose_30", "pose_45"} & set(features)

    def look(serialised):
        seen = by_target["label"].evaluation(serialised)
        found = {"image": seen["image"], "label": seen["label"], "id": seen["id"]}
        found |= {name: seen[name] for name in names}
        found["label_marks"] = by_target["label"].marks(serialised)
        if opened.has_votes:
            found["votes"] = by_target["votes"].training(serialised)["labels"]
            found["vote_marks"] = by_target["votes"].marks(serialised)
        return found

    records = reader.in_file_order(opened.builder, split).batch(_TOGETHER)
    parts = list(records.map(look).as_numpy_iterator())
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    arrays["id"] = arrays["id"].astype("S")
    image = arrays.pop("image")
    if (image == image[..., :1]).all():
        image = image[..., :1]
    return {"image_deltas": packed.deltas(image), **arrays}
