"""python -m tests.affectnet_memory numbered|original FACES DIR: peak memory of a build, in MiB.

Makes up a release of FACES small images in DIR (hard links to a few files) and builds it. TFDS
sorts examples in memory up to 1 GiB, on disk beyond that; here it goes to disk at once, so that
what is measured is what would grow without bound.
"""

import os
import pathlib
import resource
import sys

import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

import tfds_builders  # noqa: F401, registers the builder
from tests import affectnet_files as files


def write_numbered(root: pathlib.Path, *, faces: int) -> None:
    few = files.write_numbered(root / "few", {"train": range(8), "validation": range(8)}, side=24)
    for name, count in (("train_set", faces), ("val_set", 8)):
        for part in ("images", "annotations"):
            (root / name / part).mkdir(parents=True)
        for i in range(count):
            source = few / name
            os.link(source / f"images/{i % 8}.jpg", root / name / f"images/{i}.jpg")
            for what in ("exp", "val", "aro", "lnd"):
                target = root / name / f"annotations/{i}_{what}.npy"
                os.link(source / f"annotations/{i % 8}_{what}.npy", target)


def write_original(root: pathlib.Path, *, faces: int) -> None:
    few = files.write_lists(files.write_original(root))
    table = few / "Manually_Annotated_file_lists" / "training.csv"
    header, row = table.read_text().splitlines()[:2]
    path, rest = row.split(",", 1)
    images = few / "Manually_Annotated_Images"
    with table.open("w") as file:
        print(header, file=file)
        for i in range(faces):
            folder = images / f"many{i // 1000}"
            folder.mkdir(exist_ok=True)
            os.link(images / path, folder / f"{i:056x}.jpg")
            print(f"{folder.name}/{i:056x}.jpg,{rest}", file=file)


def main(release: str, faces: str, folder: str) -> None:
    root = pathlib.Path(folder) / f"{release}_{faces}"
    write = {"numbered": write_numbered, "original": write_original}[release]
    write(root, faces=int(faces))
    shuffle.MAX_MEM_BUFFER_SIZE = 1 << 20
    builder = tfds.builder(f"affectnet/{release}_8", data_dir=root / "out")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=root))
    assert builder.info.splits["train"].num_examples == int(faces)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
