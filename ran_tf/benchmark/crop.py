"""Cutting regions out: the kernel against its portable twin, and against the step that follows."""

import dataclasses

import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, step, timing
from ran_tf.regions import boxes, crop


@dataclasses.dataclass(frozen=True)
class CropPlan:
    """What is cut.

    Attributes:
      batch: faces.
      k: regions of each.
      image_size: side of the whole face, pixels.
      size: side of a region, pixels.
      backbone, dtype: of the training step that crops are compared with.
      step_batch: faces of that step, whose time a face is taken; 0 leaves the step out.
      warmup, repeats: calls that are not counted, and that are.
    """

    batch: int = 64
    k: int = 6
    image_size: int = 224
    size: int = 224
    backbone: str = "resnet18"
    dtype: str = "mixed_bfloat16"
    step_batch: int = 8
    warmup: int = 3
    repeats: int = 10


def measure(plan: CropPlan) -> list[dict]:
    """A row for each implementation; "share_of_step" compares time a face."""
    rng = np.random.default_rng(0)
    shape = (plan.batch, plan.image_size, plan.image_size, 3)
    image = tf.constant(rng.integers(0, 256, shape, np.uint8))
    regions = tf.constant(np.stack([boxes.random_boxes(plan.k, seed=i) for i in range(plan.batch)]))
    side = (plan.size, plan.size)

    def compiled(*, portable: bool, xla: bool = False):
        @tf.function(jit_compile=xla)
        def cut(image, regions):
            return crop.crop_regions(image, regions, size=side, portable=portable)

        return lambda: cut(image, regions)[0, 0, 0, 0, 0].numpy()

    calls = {
        "crop_and_resize": compiled(portable=False),
        "gather": compiled(portable=True),
        "gather, XLA": compiled(portable=True, xla=True),
    }
    taken = timing.time_in_turns(calls, warmup=plan.warmup, repeats=plan.repeats)
    a_face = _step_seconds_a_face(plan) if plan.step_batch else None
    kernel = taken["crop_and_resize"].median
    return [
        {
            "implementation": name,
            "batch": plan.batch,
            "regions": plan.k,
            "image_size": plan.image_size,
            "size": plan.size,
            **times.summary(),
            "crops_per_s": plan.batch * plan.k / times.median,
            "over_kernel": times.median / kernel,
            "share_of_step": times.median / plan.batch / a_face if a_face else None,
            "peak_memory_gib": machine.peak_memory(),
        }
        for name, times in taken.items()
    ]


def _step_seconds_a_face(plan: CropPlan) -> float:
    train = step.StepPlan(
        backbone=plan.backbone,
        size=plan.size,
        image_size=plan.image_size,
        warmup=2,
        repeats=max(3, plan.repeats // 3),
    )
    _, taken = step.time_step(train, k=plan.k, batch=plan.step_batch, dtype=plan.dtype)
    return taken.median / plan.step_batch
