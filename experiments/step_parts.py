"""What the parts of a training step cost: processor time, cumulative, least of some turns.

    python experiments/step_parts.py

The networks and augmentation are those of the recipe of an hour (docs/results/ferplus.md): the
whole face at 129 px and at 161 px, and six regions with one trunk at 161 px. Each part is timed
with all that comes before it, on noise, and its share is the difference. Whatever the accelerator
of a machine is, TensorFlow runs here on its processors.
"""

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

import ran_tf
from ran_tf import config
from ran_tf.benchmark import step as steps
from ran_tf.models import objective
from ran_tf.training.state import create_state
from ran_tf.training.tensorflow_engine import make_train_step

_CLASSES = 8
_AUGMENT = config.AugmentConfig(
    rotate=15.0, scale=0.15, shift=0.06, erase=0.3, erase_max=0.5, degrade=0.2, light=0.25
)
# Name, side of a region in pixels, number of regions, trunk.
_NETWORKS = (
    ("whole face, 129 px", 129, 1, "full"),
    ("whole face, 161 px", 161, 1, "full"),
    ("six regions with one trunk, 161 px", 161, 6, "shared"),
)


def make_calls(*, side: int, k: int, trunk: str, faces: int) -> dict:
    """Part -> function that does this part and all before it."""
    regions = config.RegionConfig(k=k)
    run = config.TrainConfig(
        data=config.DataConfig(image_size=(48, 48), regions=regions),
        objective=config.ObjectiveConfig(augment=_AUGMENT),
    )
    arguments = {
        "backbone": "mobilenet_v1",
        "num_classes": _CLASSES,
        "size": (side, side),
        "dtype": "mixed_bfloat16",
        "trunk": trunk,
    }
    state = create_state(arguments, config=run)
    state.optimizer.learning_rate = 1e-4  # random weights must survive some steps on noise
    batch = steps.random_batch(faces=faces, k=k, image_size=48)
    batch["boxes"] = np.tile(ran_tf.fixed_boxes(k), (faces, 1, 1))
    batch = {name: tf.constant(value) for name, value in batch.items()}
    step = make_train_step(state, config=run, strategy=tf.distribute.get_strategy())

    def augment():
        return objective.prepare(batch, batch["labels"], config=run.objective, bank={})

    def forward():
        shown = augment()
        outputs = state.model(shown["inputs"], training=True)
        terms = objective.terms(
            outputs,
            shown["targets"],
            shown["inputs"]["mask"],
            config=run.objective,
            covered=shown["inputs"]["covered"],
        )
        return tf.reduce_sum(objective.total(terms, config=run.objective))

    def backward():
        with tf.GradientTape() as tape:
            loss = forward()
        return tape.gradient(loss, [v.value for v in state.model.trainable_variables])

    calls = {
        name: tf.function(part, autograph=False)
        for name, part in {"augment": augment, "forward": forward, "backward": backward}.items()
    }
    return {**calls, "update": lambda: step(batch, tf.constant(1, tf.int64))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--turns", type=int, default=6)
    arguments = parser.parse_args()
    for name, side, k, trunk in _NETWORKS:
        calls = make_calls(side=side, k=k, trunk=trunk, faces=arguments.faces)
        least = dict.fromkeys(calls, np.inf)
        for turn in range(arguments.turns + 1):
            for part, call in calls.items():
                start = time.process_time()
                tf.nest.map_structure(np.asarray, call())
                if turn:  # the first compiles
                    least[part] = min(least[part], time.process_time() - start)
        shares = np.diff([0.0, *least.values()])
        text = ", ".join(f"{part} {1e3 * s:.0f} ms" for part, s in zip(least, shares, strict=True))
        print(f"{name}, {arguments.faces} faces: {text}", flush=True)


if __name__ == "__main__":
    main()
