"""Tiny AffectNets built: a config of one, its examples by name, and the faces that it keeps."""

import tensorflow_datasets as tfds

import tfds_builders  # noqa: F401, registers the builder
from tests import affectnet_files as files


def build(manual_dir, data_dir, *, config, **download_config):
    builder = tfds.builder(f"affectnet/{config}", data_dir=data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **download_config)
    )
    return builder


def examples(builder, split):
    return {
        example["id"].decode(): example
        for example in builder.as_dataset(split=split).as_numpy_iterator()
    }


def kept(split, num_classes=8):
    return [(i, e) for i, e in enumerate(files.EXPRESSIONS[split]) if e < num_classes]
