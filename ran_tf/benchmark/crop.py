"""Cutting regions out: the kernel against its portable twin, and against the step that follows."""

import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, plans, step, timing
from ran_tf.regions import boxes, crop


def measure(plan: plans.Crop) -> list[dict]:
    """A row for each implementation; "share_of_step" compares time a face."""
    rng = np.random.default_rng(0)
    shape = (plan.batch_size, plan.image_size, plan.image_size, 3)
    image = tf.constant(rng.integers(0, 256, shape, np.uint8))
    regions = tf.constant(
        np.stack([boxes.random_boxes(plan.num_regions, seed=i) for i in range(plan.batch_size)])
    )
    side = (plan.region_size, plan.region_size)

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
            "batch": plan.batch_size,
            "regions": plan.num_regions,
            "image_size": plan.image_size,
            "size": plan.region_size,
            **times.summary(),
            "crops_per_s": plan.batch_size * plan.num_regions / times.median,
            "over_kernel": times.median / kernel,
            "share_of_step": times.median / plan.batch_size / a_face if a_face else None,
            "peak_memory_gib": machine.peak_memory(),
        }
        for name, times in taken.items()
    ]


def _step_seconds_a_face(plan: plans.Crop) -> float:
    train = plans.Step(
        backbone=plan.backbone,
        region_size=plan.region_size,
        image_size=plan.image_size,
        warmup=2,
        repeats=max(3, plan.repeats // 3),
    )
    _, taken = step.time_step(train, k=plan.num_regions, batch=plan.step_batch, dtype=plan.dtype)
    return taken.median / plan.step_batch
