"""The way from a dataset on disk to batches: faces a second and core, waiting, memory.

Rates are per second of processor time, so that they say what one core does however many there are.
Our faces leave the pipeline whole and are cut on the device; a row includes that cutting, to stand
beside a loader that reads regions from disk.
"""

import dataclasses
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, pillow_loader, step
from ran_tf.config import DataConfig
from ran_tf.data import pipeline, prepared
from ran_tf.regions import crop

# Points of an epoch at which memory is read.
_READINGS = 20


@dataclasses.dataclass(frozen=True)
class InputPlan:
    """What is read.

    Attributes:
      data: dataset, splits and regions; `data.cache` is set by each row itself.
      batch: faces.
      passes: passes over the split that are timed, each way.
      size: side of the regions that are cut for comparison, pixels.
      peer_faces: faces that the Pillow loader reads.
      backbone, dtype: of the training step that waits for batches.
      wait_steps: its steps; 0 leaves the row out.
    """

    data: DataConfig
    batch: int = 64
    passes: int = 2
    size: int = 224
    peer_faces: int = 64
    backbone: str = "mobilenet_v1"
    dtype: str = "mixed_bfloat16"
    wait_steps: int = 20


def measure(plan: InputPlan) -> list[dict]:
    """Rows "cached", "uncached", "cached, with crops", Pillow's and training's."""
    dataset = prepared.open_dataset(plan.data)
    rows = [
        _read(plan, dataset, name="cached", cache=True),
        _read(plan, dataset, name="uncached", cache=False),
        _read(plan, dataset, name="cached, with crops", cache=True, cut=True),
        _read_with_pillow(plan, dataset),
    ]
    peer = rows[-1]["faces_per_core_s"]
    rows = [{**row, "over_pillow": row["faces_per_core_s"] / peer} for row in rows]
    if plan.wait_steps:
        rows.append(_wait(plan, dataset))
    return rows


def _training_data(plan: InputPlan, dataset, *, cache: bool) -> pipeline.TrainingData:
    return pipeline.TrainingData(
        dataclasses.replace(plan.data, cache=cache),
        dataset,
        batch_size=plan.batch,
        seed=0,
    )


def _read(plan: InputPlan, dataset, *, name: str, cache: bool, cut: bool = False) -> dict:
    data = _training_data(plan, dataset, cache=cache)
    side = (plan.size, plan.size)
    cut_regions = tf.function(
        lambda batch: crop.crop_regions(batch["image"], batch["boxes"], size=side),
        reduce_retracing=True,
    )

    def one_pass(epoch: int) -> list[float | None]:
        held = []
        for number, batch in enumerate(data.epoch(epoch)):
            if cut:
                cut_regions(batch)
            if number % max(1, data.steps_per_epoch // _READINGS) == 0:
                held.append(machine.memory_now())
        return held

    one_pass(0)  # fills the cache
    rates, core_rates, growth = [], [], None
    for epoch in range(1, 1 + plan.passes):
        wall, core = time.perf_counter(), time.process_time()
        held = [memory for memory in one_pass(epoch) if memory is not None]
        rates.append(data.size / (time.perf_counter() - wall))
        core_rates.append(data.size / (time.process_time() - core))
        if held:
            # The first readings see the buffers of the pipeline fill.
            growth = 1024 * (held[-1] - held[len(held) // 4])
    return {
        "loader": name,
        "faces": data.size,
        "passes": plan.passes,
        "faces_per_s": float(np.median(rates)),
        "faces_per_core_s": float(np.median(core_rates)),
        "faces_per_core_s_range": [min(core_rates), max(core_rates)],
        "memory_growth_mib": growth,
        "peak_memory_gib": machine.peak_memory(),
    }


def _read_with_pillow(plan: InputPlan, dataset) -> dict:
    batches = _training_data(plan, dataset, cache=False).epoch(0).unbatch().batch(plan.peer_faces)
    faces = next(iter(batches))["image"].numpy()
    with tempfile.TemporaryDirectory() as folder:
        rates = pillow_loader.measure(pillow_loader.write_regions(faces, pathlib.Path(folder)))
    return {"loader": "Pillow, six PNG a face", "faces": len(faces), "passes": 1, **rates}


def _wait(plan: InputPlan, dataset) -> dict:
    """How much of its time a training step waits for its batch."""
    data = _training_data(plan, dataset, cache=plan.data.cache)
    _, train = step.make_step(
        backbone=plan.backbone,
        size=plan.size,
        image_size=plan.data.image_size[0],
        k=plan.data.regions.k,
        dtype=plan.dtype,
        num_classes=len(dataset.labels),
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
            f"Received: {data.steps_per_epoch} batches of {plan.batch} faces"
        )
    return {
        "loader": f"training {plan.backbone} at {plan.size} px",
        "faces": (steps - warmup) * plan.batch,
        "passes": 1,
        "faces_per_s": (steps - warmup) * plan.batch / total,
        "waiting_share": waited / total,
        "peak_memory_gib": machine.peak_memory(),
    }
