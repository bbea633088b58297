"""The way from a dataset on disk to batches: faces a second and core, and waiting.

Rates are per second of processor time, so that they say what one core does however many there are.
Our faces leave the pipeline whole and are cut on the device; a row includes that cutting, to stand
beside a loader that reads regions from disk.
"""

import time

import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, plans, step
from ran_tf.config import DataConfig, RegionConfig
from ran_tf.data import pipeline, prepared
from ran_tf.regions import crop


def measure(plan: plans.Input) -> list[dict]:
    """Rows "cached", "uncached", "cached, with crops" and training's."""
    rows = [
        _read(plan, name="cached", cache=True),
        _read(plan, name="uncached", cache=False),
        _read(plan, name="cached, with crops", cache=True, cut=True),
    ]
    if plan.wait_steps:
        rows.append(_wait(plan))
    return rows


def _training_data(plan: plans.Input, *, cache: bool) -> pipeline.TrainingData:
    data = DataConfig(
        name=plan.dataset,
        data_dir=plan.data_dir,
        image_size=(plan.image_size, plan.image_size),
        train_split=plan.split,
        regions=RegionConfig(kind="random", k=plan.num_regions),
        cache=cache,
    )
    dataset = prepared.open_dataset(data)
    return pipeline.TrainingData(data, dataset, batch_size=plan.batch_size, seed=0)


def _read(plan: plans.Input, *, name: str, cache: bool, cut: bool = False) -> dict:
    data = _training_data(plan, cache=cache)
    side = (plan.region_size, plan.region_size)
    cut_regions = tf.function(
        lambda batch: crop.crop_regions(batch["image"], batch["boxes"], size=side),
        reduce_retracing=True,
    )

    def one_pass(epoch: int) -> None:
        for batch in data.epoch(epoch):
            if cut:
                cut_regions(batch)

    one_pass(0)  # fills the cache
    rates, core_rates = [], []
    for epoch in range(1, 1 + plan.repeats):
        wall, core = time.perf_counter(), time.process_time()
        one_pass(epoch)
        rates.append(data.size / (time.perf_counter() - wall))
        core_rates.append(data.size / (time.process_time() - core))
    return {
        "loader": name,
        "faces": data.size,
        "passes": plan.repeats,
        "faces_per_s": float(np.median(rates)),
        "faces_per_core_s": float(np.median(core_rates)),
        "faces_per_core_s_range": [min(core_rates), max(core_rates)],
        "peak_memory_gib": machine.peak_memory(),
    }


def _wait(plan: plans.Input) -> dict:
    """How much of its time a training step waits for its batch."""
    data = _training_data(plan, cache=True)
    _, train = step.make_step(
        backbone=plan.backbone,
        size=plan.region_size,
        image_size=plan.image_size,
        k=plan.num_regions,
        dtype=plan.dtype,
        num_classes=data.epoch(0).element_spec["labels"].shape[-1],
        strategy=tf.distribute.get_strategy(),
    )
    number = tf.constant(1, tf.int64)
    warmup, waited, total, steps = 3, 0.0, 0.0, 0
    # The first pass fills the cache: training waits for that once.
    for _ in data.epoch(0):
        pass
    batches = iter(data.epoch(1))
    while steps < warmup + plan.wait_steps:
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        ready = time.perf_counter()
        train(batch, number)["correct"].numpy()
        steps += 1
        if steps > warmup:
            waited += ready - start
            total += time.perf_counter() - start
    if not total:
        raise ValueError(
            f"`wait_steps` needs more than {warmup} batches in an epoch. "
            f"Received: {data.steps_per_epoch} batches of {plan.batch_size} faces"
        )
    return {
        "loader": f"training {plan.backbone} at {plan.region_size} px",
        "faces": (steps - warmup) * plan.batch_size,
        "passes": 1,
        "faces_per_s": (steps - warmup) * plan.batch_size / total,
        "waiting_share": waited / total,
        "peak_memory_gib": machine.peak_memory(),
    }
