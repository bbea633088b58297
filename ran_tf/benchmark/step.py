"""The training step: what one step costs, by network, size, regions, batch and precision."""

import dataclasses

import numpy as np
import tensorflow as tf

from ran_tf.benchmark import flops, machine, timing
from ran_tf.config import DataConfig, RegionConfig, TrainConfig
from ran_tf.regions import boxes
from ran_tf.training.state import create_state
from ran_tf.training.tensorflow_engine import make_train_step

_CLASSES = 8


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """Which steps are timed: every combination of the lists.

    Attributes:
      backbone: name of the backbone.
      size: side of a region, pixels.
      image_size: side of the whole face, pixels.
      regions: numbers of regions.
      batches: global batch sizes.
      dtypes: policies.
      replicas: logical devices of a MirroredStrategy; 1 is no strategy.
      sync_batch_norm: batch statistics of all replicas together.
      warmup, repeats: steps that are not counted, and that are.
    """

    backbone: str = "resnet18"
    size: int = 224
    image_size: int = 224
    regions: tuple[int, ...] = (6,)
    batches: tuple[int, ...] = (8,)
    dtypes: tuple[str, ...] = ("mixed_bfloat16",)
    replicas: int = 1
    sync_batch_norm: bool = True
    warmup: int = 3
    repeats: int = 10


def measure(plan: StepPlan, *, peak: dict[str, float]) -> list[dict]:
    """One row for each combination.

    Args:
      plan: what is timed.
      peak: from `machine.matrix_peak`, in the same process.
    """
    return [
        _measure_one(plan, k=k, batch=batch, dtype=dtype, peak=peak)
        for dtype in plan.dtypes
        for batch in plan.batches
        for k in plan.regions
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
    config = TrainConfig(data=_data(k=k, image_size=image_size))
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


def _data(*, k: int, image_size: int) -> DataConfig:
    return DataConfig(image_size=(image_size, image_size), regions=RegionConfig(kind="random", k=k))


def time_step(plan: StepPlan, *, k: int, batch: int, dtype: str):
    """Times the step of one combination: (state, Timing)."""
    strategy = _strategy(plan.replicas)
    state, step = make_step(
        backbone=plan.backbone,
        size=plan.size,
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
    taken = timing.time_call(
        lambda: step(faces, number)["correct"].numpy(), warmup=plan.warmup, repeats=plan.repeats
    )
    return state, taken


def _measure_one(plan: StepPlan, *, k: int, batch: int, dtype: str, peak: dict) -> dict:
    state, taken = time_step(plan, k=k, batch=batch, dtype=dtype)
    work = flops.TRAINING * batch * flops.face_flops(state.model, k=k)
    rate = work / taken.median
    limit = peak["bfloat16" if "bfloat16" in dtype else "float32"]
    return {
        "backbone": plan.backbone,
        "size": plan.size,
        "regions": k,
        "batch": batch,
        "dtype": dtype,
        "replicas": plan.replicas,
        **taken.summary(),
        "faces_per_s": batch / taken.median,
        "crops_per_s": batch * k / taken.median,
        "gflop": work / 1e9,
        "tflop_per_s": rate / 1e12,
        "share_of_peak": rate / limit,
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
