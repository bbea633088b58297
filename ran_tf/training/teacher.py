"""What trained networks say of the training faces: a share of the targets (distillation).

They see each face as it is and mirrored, before anything covers or spoils it; the network that
learns sees it as augmentation leaves it. After Hinton et al. (arXiv 1503.02531), with a temperature
of 1: presets are calibrated.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from ran_tf.checks import InvalidArgument
from ran_tf.config import TrainConfig
from ran_tf.data import opening
from ran_tf.data.dataset import Dataset
from ran_tf.inference.classifier import mirror
from ran_tf.safety import files
from ran_tf.weights import sources

# In the work directory: a run that goes on does not ask again.
FILE = "teacher.npz"
_BATCH = 64


def answers(
    config: TrainConfig,
    dataset: Dataset,
    workdir: pathlib.Path,
    *,
    fingerprint: str,
    writes: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> np.ndarray | None:
    """The mean of the probabilities that the networks of `config.teacher` give each training face.

    Args:
      config: the run.
      dataset: opened, that of `config.data`.
      workdir: of the run; answers are kept in its `FILE`.
      fingerprint: of the training faces.
      writes: whether this process keeps them.
      say: told what takes so long.

    Returns:
      f32[n, classes], faces in the order of the split, classes in the dataset's; None without a
      teacher.

    Raises:
      FileNotFoundError: for a teacher that is not there.
      InvalidArgument: for one that does not know a class of the dataset.
    """
    if not config.teacher:
        return None
    identity = " ".join([*config.teacher, fingerprint])
    path = workdir / FILE
    if path.exists():
        with np.load(path) as kept:
            if str(kept["identity"]) == identity:
                return kept["answers"]
    found = []
    for name in config.teacher:
        say(f"asking the teacher {name} about {dataset.size(config.data.train_split)} faces")
        found.append(_ask(name, config, dataset))
    mean = np.stack(found).mean(axis=0).astype(np.float32)
    if writes:
        with files.atomic_path(path) as partial, open(partial, "wb") as file:
            np.savez(file, answers=mean, identity=identity)
    return mean


def _ask(name: str, config: TrainConfig, dataset: Dataset) -> np.ndarray:
    # TensorFlow, which training on JAX does not need.
    from ran_tf.inference import keras_engine

    trained = sources.load_trained(name)
    # In the precision of the run: bfloat16 takes half as long.
    network = trained.model.twin(dtype=config.model.dtype)
    classifier = keras_engine.from_network(network, trained.card, name=name)
    card = classifier.card
    missing = sorted(set(dataset.labels) - set(card.labels))
    if missing:
        raise InvalidArgument(
            "teacher", f"networks that know the classes {list(dataset.labels)}", (name, card.labels)
        )
    columns = [card.labels.index(label) for label in dataset.labels]
    data = config.data
    asked = dataclasses.replace(data, image_size=card.image_size, regions=card.regions, cache=False)
    said = []
    for batch in opening.eval_batches(asked, dataset, split=data.train_split, batch_size=_BATCH):
        faces = {key: np.asarray(batch[key]) for key in ("image", "boxes", "mask")}
        both = [classifier.predict(seen)["probabilities"] for seen in (faces, mirror(faces))]
        probabilities = np.mean(both, axis=0)
        said.append(probabilities[:, columns])
    probabilities = np.concatenate(said)
    # Of fewer classes than it knows.
    return probabilities / probabilities.sum(axis=1, keepdims=True)
