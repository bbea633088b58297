"""A dataset of one's own, with TensorFlow Datasets: what it is called is its class' name.

python -m ran_tf.launch.prepare --import=examples.my_dataset --dataset=my_faces
python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_dataset --dataset=my_faces
"""

import numpy as np
import tensorflow_datasets as tfds


class MyFaces(tfds.core.GeneratorBasedBuilder):
    """Squares: bright ones are happy."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(32, 32, 3)),
                    # The order of the names is that of a network's classes.
                    "label": tfds.features.ClassLabel(names=["sad", "happy"]),
                    "id": tfds.features.Text(),
                }
            ),
            # How the faces were cut out of photos, as --margin and --drop of `align`: photos are
            # cut likewise for a network that was trained on them.
            metadata=tfds.core.MetadataDict({"framing": {"margin": 0.15, "drop": 0.05}}),
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(range(64)),
            "validation": self._generate_examples(range(64, 80)),
            "test": self._generate_examples(range(80, 96)),
        }

    def _generate_examples(self, faces):
        for i in faces:
            image = np.random.default_rng(i).integers(0, 64, (32, 32, 3), np.uint8)
            yield i, {"image": image + 150 * (i % 2), "label": i % 2, "id": f"face {i}"}
