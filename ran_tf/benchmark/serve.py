"""The exported SavedModel: latency by batch, beside other runtimes on the same weights.

Timed is the signature `regions`, the network alone: it is what every runtime can take.
"""

import functools
import importlib.util
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, plans, timing
from ran_tf.config import RegionConfig
from ran_tf.exports import export, onnx_file, portable, signatures
from ran_tf.faces.processes import available_cpus
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.regions import kinds
from ran_tf.vocabulary import LABELS
from ran_tf.weights import sources
from ran_tf.weights.card import ModelCard

_DATASET = "ferplus"
# Seconds in which the threads of a runtime whose turn is over go to sleep; large batches hide them.
_PAUSE = 0.05
# Calls of a turn, for small batches.
_IN_A_ROW = 10
_POLICIES = {"float32": "f32", "mixed_bfloat16": "bf16"}
# Packages that each other runtime takes, converters included.
NEEDS = {"onnxruntime": portable.NEEDS["onnx"], "openvino": ("openvino",)}


def measure(plan: plans.Serve) -> list[dict]:
    """A row for each runtime, precision and batch; runtimes take turns, call by call.

    A runtime that is not installed has one row with "absent": the packages that it needs.
    """
    model, card = _subject(plan)
    rows = [
        {"runtime": name, "absent": list(packages)} for name in NEEDS if (packages := missing(name))
    ]
    with tempfile.TemporaryDirectory() as folder:
        served = _load_all(plan, model, card, folder=pathlib.Path(folder))
        for batch in plan.batch_size:
            rows.extend(_measure_batch(plan, model, card, served=served, batch=batch))
    return rows


def _subject(plan: plans.Serve):
    """The network and its card."""
    if plan.workdir:
        trained = sources.load_trained(plan.workdir)
        return trained.model, trained.card
    side = (plan.region_size, plan.region_size)
    labels = LABELS[_DATASET]
    arguments: dict[str, Any] = {
        "backbone": plan.backbone,
        "num_classes": len(labels),
        "size": side,
    }
    card = ModelCard(
        dataset=_DATASET,
        labels=labels,
        image_size=(plan.image_size, plan.image_size),
        regions=RegionConfig(kind="random", k=plan.num_regions),
        model=arguments,
    )
    model = RegionAttentionNetwork(**arguments)
    _settle(model, card)
    return model, card


def _settle(model, card: ModelCard) -> None:
    """Gives normalisation the statistics of noise: without them random weights say nothing."""
    norms = [
        layer
        for layer in model.backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in norms:
        layer.momentum = 0.0
    faces = np.random.default_rng(0).integers(0, 256, (4, *card.image_size, 3), np.uint8)
    boxes = np.repeat(kinds.serving_boxes(card.regions)[np.newaxis], len(faces), axis=0)
    model({"image": faces, "boxes": boxes}, training=True)


def _load_all(plan: plans.Serve, model, card: ModelCard, *, folder: pathlib.Path) -> dict:
    """(runtime, policy) -> `regions f32[b, k, h, w, 3] -> probabilities f32[b, n]`."""
    threads = available_cpus()
    served = {}
    for policy in plan.dtype:
        written = export.write_export(
            model, card, export_dir=folder / policy, check=False, dtype=policy
        )
        loaded = signatures.load_saved_model(written.path)
        served["SavedModel", policy] = _signature(loaded)
    if missing("onnxruntime"):
        return served
    path = _write_onnx(model, card, folder=folder)
    # Its CPU kernels compute in float32 alone.
    served["onnxruntime", "float32"] = _load_onnxruntime(path, threads=threads)
    if not missing("openvino"):
        for policy in plan.dtype:
            served["openvino", policy] = _load_openvino(
                path, threads=threads, precision=_POLICIES[policy]
            )
    return served


def _signature(loaded):
    call = loaded.signatures["regions"]
    return lambda regions: call(regions=tf.constant(regions))["probabilities"].numpy()


def _measure_batch(plan, model, card, *, served: dict, batch: int) -> list[dict]:
    rng = np.random.default_rng(batch)
    faces = rng.integers(0, 256, (batch, *card.image_size, 3), np.uint8)
    shape = signatures.regions_shape(model, card)
    regions = signatures.cut_regions(faces, card=card, shape=shape).numpy()
    # Large batches take long and spread little.
    repeats = max(5, plan.repeats // max(1, batch // 4))
    in_a_row = min(_IN_A_ROW, repeats) if batch <= 8 else 1
    taken = timing.time_in_turns(
        {key: functools.partial(call, regions) for key, call in served.items()},
        warmup=1,
        repeats=-(-repeats // in_a_row),
        in_a_row=in_a_row,
        pause=_PAUSE if batch <= 8 else 0.0,
    )
    reference = served["SavedModel", plan.dtype[0]](regions)
    rows = []
    for (runtime, policy), times in taken.items():
        answers = served[runtime, policy](regions)
        rows.append(
            {
                "runtime": runtime,
                "dtype": policy,
                "batch": batch,
                "regions": card.regions.k,
                **times.summary(),
                "ms_p50": 1e3 * times.quantile(0.5),
                "ms_p99": 1e3 * times.quantile(0.99),
                "faces_per_s": batch / times.median,
                "difference": float(np.abs(answers - reference).max()),
                "same_label": float((answers.argmax(-1) == reference.argmax(-1)).mean()),
                "peak_memory_gib": machine.peak_memory(),
            }
        )
    return rows


def missing(runtime: str) -> list[str]:
    """Packages that `runtime` needs and that are not installed."""
    return [name for name in NEEDS[runtime] if importlib.util.find_spec(name) is None]


def _write_onnx(model, card: ModelCard, *, folder: pathlib.Path) -> pathlib.Path:
    path = folder / portable.FILES["onnx"]["regions"]
    classifier = portable.PortableClassifier(model, card)
    onnx_file.write(classifier, path, signature="regions")
    return path


def _load_onnxruntime(path: pathlib.Path, *, threads: int):
    """`regions f32[b, k, h, w, 3] -> probabilities f32[b, n]`."""
    run = portable.load(path, threads=threads)
    return lambda regions: run(regions)["probabilities"]


def _load_openvino(path: pathlib.Path, *, threads: int, precision: str):
    """As `_load_onnxruntime`; `precision` is "f32" or "bf16"."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        # By itself it takes bfloat16 where the processor has it.
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled = openvino.Core().compile_model(openvino.convert_model(path), "CPU", settings)
    return lambda regions: compiled(regions)["probabilities"]
