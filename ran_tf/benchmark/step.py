"""The training step: what one step costs, by network, size, regions, batch and precision."""

import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, plans, timing
from ran_tf.config import DataConfig, RegionConfig, TrainConfig
from ran_tf.regions import boxes
from ran_tf.training.state import create_state
from ran_tf.training.tensorflow_engine import make_train_step

_CLASSES = 8


def measure(plan: plans.Step) -> list[dict]:
    """One row for each combination."""
    return [
        _measure_one(plan, k=k, batch=batch, dtype=dtype)
        for dtype in plan.dtype
        for batch in plan.batch_size
        for k in plan.num_regions
    ]


def make_step(
    *,
    backbone: str,
    size: int,
    image_size: int,
    k: int,
    dtype: str,
    strategy,
    sync_batch_norm: bool = True,
    num_classes: int = _CLASSES,
):
    """A fresh network and its training step, as `ran_tf.training.loop` makes it.

    Returns:
      (state, step).
    """
    arguments = {
        "backbone": backbone,
        "num_classes": num_classes,
        "size": (size, size),
        "dtype": dtype,
        "synchronized": sync_batch_norm and strategy.num_replicas_in_sync > 1,
    }
    regions = RegionConfig(kind="random", k=k)
    config = TrainConfig(data=DataConfig(image_size=(image_size, image_size), regions=regions))
    with strategy.scope():
        state = create_state(arguments, config=config)
    # Random weights must survive a few steps on noise.
    state.optimizer.learning_rate = 1e-4
    return state, make_train_step(state, config=config, strategy=strategy)


def random_batch(*, faces: int, k: int, image_size: int) -> dict[str, np.ndarray]:
    """A training batch as `ran_tf.data.pipeline` makes it, of noise."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (faces, image_size, image_size, 3), np.uint8),
        "boxes": np.stack([boxes.random_boxes(k, seed=i) for i in range(faces)]),
        "mask": np.ones((faces, k), bool),
        "labels": np.eye(_CLASSES, dtype=np.float32)[rng.integers(0, _CLASSES, faces)],
        "key": np.arange(faces, dtype=np.int32),
    }


def time_step(plan: plans.Step, *, k: int, batch: int, dtype: str):
    """Times the step of one combination: (state, Timing)."""
    strategy = _strategy(plan.replicas)
    state, step = make_step(
        backbone=plan.backbone,
        size=plan.region_size,
        image_size=plan.image_size,
        k=k,
        dtype=dtype,
        strategy=strategy,
        sync_batch_norm=plan.sync_batch_norm,
    )
    faces = _distribute(
        random_batch(faces=batch, k=k, image_size=plan.image_size), strategy=strategy
    )
    number = tf.constant(1, tf.int64)
    calls = {"step": lambda: step(faces, number)["correct"].numpy()}
    taken = timing.time_in_turns(calls, warmup=plan.warmup, repeats=plan.repeats)
    return state, taken["step"]


def _measure_one(plan: plans.Step, *, k: int, batch: int, dtype: str) -> dict:
    _, taken = time_step(plan, k=k, batch=batch, dtype=dtype)
    return {
        "backbone": plan.backbone,
        "size": plan.region_size,
        "regions": k,
        "batch": batch,
        "dtype": dtype,
        "replicas": plan.replicas,
        **taken.summary(),
        "faces_per_s": batch / taken.median,
        "crops_per_s": batch * k / taken.median,
        "peak_memory_gib": machine.peak_memory(),
    }


def _strategy(replicas: int):
    if replicas == 1:
        return tf.distribute.get_strategy()
    accelerators = tf.config.list_logical_devices("GPU")
    devices = (accelerators or tf.config.list_logical_devices("CPU"))[:replicas]
    if len(devices) < replicas:
        raise ValueError(
            f"`replicas` must be at most the number of logical devices, {len(devices)}. "
            f"Received: replicas={replicas}"
        )
    # Between replicas on one processor a collective operation takes 20 times as long as a copy.
    across = None if accelerators else tf.distribute.ReductionToOneDevice()
    names = [device.name for device in devices]
    return tf.distribute.MirroredStrategy(names, cross_device_ops=across)


def _distribute(batch: dict, *, strategy):
    dataset = tf.data.Dataset.from_tensors(batch)
    if strategy.num_replicas_in_sync == 1:
        return next(iter(dataset))
    dataset = dataset.unbatch().batch(len(batch["image"]))
    return next(iter(strategy.experimental_distribute_dataset(dataset)))
