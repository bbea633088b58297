"""TensorFlow Datasets builders; importing this package registers them.

import tensorflow_datasets as tfds
import tfds_builders

faces = tfds.load("ferplus", split="test")
"""

import tensorflow_datasets as tfds

from tfds_builders.affectnet import affectnet_dataset_builder
from tfds_builders.fer2013 import fer2013_dataset_builder
from tfds_builders.ferplus import ferplus_dataset_builder
from tfds_builders.folder_faces import folder_faces_dataset_builder
from tfds_builders.raf_db import raf_db_dataset_builder
from tfds_builders.sfew import sfew_dataset_builder
from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder

#: Builder classes by TFDS name.
DATASETS: dict[str, type[tfds.core.DatasetBuilder]] = {
    "affectnet": affectnet_dataset_builder.Builder,
    "fer2013": fer2013_dataset_builder.Builder,
    "ferplus": ferplus_dataset_builder.Builder,
    "folder_faces": folder_faces_dataset_builder.Builder,
    "raf_db": raf_db_dataset_builder.Builder,
    "sfew": sfew_dataset_builder.Builder,
    "synthetic_faces": synthetic_faces_dataset_builder.Builder,
}
