"""A full disk under the writers that are not the run's own: TFDS' and the SavedModel's."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf import config
from ran_tf.data.prepare import prepare
from ran_tf.exports import export
from ran_tf.weights.card import ModelCard
from tests.fixtures import file_limit


def test_prepare_leaves_no_half_of_a_dataset(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("angry", "happy"):
        for split in ("train", "test"):
            folder = tmp_path / "raw" / split / name
            folder.mkdir(parents=True)
            for i in range(3):  # of noise, which does not compress: 2.3 kB each
                image = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
                cv2.imwrite(str(folder / f"{i}.bmp"), image)
    out = tmp_path / "out"
    with (
        pytest.raises((OSError, RuntimeError), match="File too large"),  # RuntimeError: TFDS' own
        file_limit.small_files(3000),
    ):
        prepare(dataset="folder_faces", manual_dir=str(tmp_path / "raw"), data_dir=str(out))
    # The lock stays, empty.
    assert not [path for path in out.rglob("*") if path.is_file() and path.stat().st_size]


def test_an_export_is_not_there_by_half(tmp_path):
    model = ran_tf.RegionAttentionNetwork("tiny", num_classes=2, size=(16, 16))
    card = ModelCard(
        dataset="synthetic_faces",
        labels=("a", "b"),
        image_size=(16, 16),
        regions=config.RegionConfig(k=1, kind="random"),
        model=model.get_config(),
    )
    with pytest.raises((OSError, tf.errors.OpError)), file_limit.small_files(3000):
        export.write_export(model, card, export_dir=tmp_path / "export", check=False)
    assert not list((tmp_path / "export").iterdir())
