"""An export beside ONNX Runtime and OpenVINO on the same weights: latency by batch, and answers.

    python experiments/runtimes.py [--workdir=RUN] --batch 1 8 --out=runtimes.json

Timed is the signature `regions`, the network alone: it is what every runtime can take. Without a
run, of a MobileNetV1 with random weights. ONNX Runtime's kernels for processors know no bfloat16.
"""

import argparse
import functools
import importlib.util
import json
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from ran_tf.benchmark import machine, timing
from ran_tf.config import RegionConfig
from ran_tf.exports import export, onnx_file, portable, signatures
from ran_tf.faces.processes import available_cpus
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.regions import kinds
from ran_tf.vocabulary import LABELS
from ran_tf.weights import sources
from ran_tf.weights.card import ModelCard

# Seconds in which the threads of a runtime whose turn is over go to sleep; large batches hide them.
PAUSE = 0.05
# Calls of a turn, for small batches.
IN_A_ROW = 10
POLICIES = {"float32": "f32", "mixed_bfloat16": "bf16"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", help="training run; a random network without")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=100, help="calls of one face; fewer of many")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file")
    arguments = parser.parse_args()
    if arguments.workdir:
        trained = sources.load_trained(arguments.workdir)
        model, card = trained.model, trained.card
    else:
        model, card = random_network()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        served = load_all(model, card, folder=pathlib.Path(folder))
        for batch in arguments.batch:
            faces = noise(card, batch)
            shape = signatures.regions_shape(model, card)
            regions = signatures.cut_regions(faces, card=card, shape=shape).numpy()
            rows += measure(served, regions, repeats=arguments.repeats)
            for row in rows[-len(served) :]:
                print("  ".join(str(value) for value in row.values()))
    if arguments.out:
        result = {"machine": machine.describe(), "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def random_network(*, side: int = 128, image: int = 48, k: int = 6):
    """A network and its card; of random weights alone all answers would be alike."""
    labels = LABELS["ferplus"]
    arguments = {"backbone": "mobilenet_v1", "num_classes": len(labels), "size": (side, side)}
    card = ModelCard(
        dataset="ferplus",
        labels=labels,
        image_size=(image, image),
        regions=RegionConfig(kind="random", k=k),
        model=arguments,
    )
    model = RegionAttentionNetwork(**arguments)
    for layer in model.backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the statistics of the noise that follows
    model({"image": noise(card, 4), "boxes": boxes_of(card, 4)}, training=True)
    return model, card


def noise(card: ModelCard, batch: int) -> np.ndarray:
    return np.random.default_rng(batch).integers(0, 256, (batch, *card.image_size, 3), np.uint8)


def boxes_of(card: ModelCard, batch: int) -> np.ndarray:
    return np.repeat(kinds.serving_boxes(card.regions)[np.newaxis], batch, axis=0)


def load_all(model, card: ModelCard, *, folder: pathlib.Path) -> dict:
    """(runtime, policy) -> function of f32[b, k, h, w, 3] to probabilities f32[b, n]."""
    threads, served = available_cpus(), {}
    for policy in POLICIES:
        written = export.write_export(
            model, card, export_dir=folder / policy, check=False, dtype=policy
        )
        loaded = signatures.load_saved_model(written.path)
        served["SavedModel", policy] = functools.partial(saved_model, loaded)
    path = folder / portable.FILES["onnx"]["regions"]
    onnx_file.write(portable.PortableClassifier(model, card), path, signature="regions")
    run = portable.load(path, threads=threads)
    served["onnxruntime", "float32"] = lambda regions: run(regions)["probabilities"]
    if not importlib.util.find_spec("openvino"):
        print("OpenVINO is not installed: left out")
        return served
    import openvino

    for policy, precision in POLICIES.items():
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            # By itself it takes bfloat16 where the processor has it.
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = openvino.Core().compile_model(openvino.convert_model(path), "CPU", settings)
        served["openvino", policy] = functools.partial(
            lambda compiled, regions: compiled(regions)["probabilities"], compiled
        )
    return served


def saved_model(loaded, regions: np.ndarray) -> np.ndarray:
    return loaded.signatures["regions"](regions=tf.constant(regions))["probabilities"].numpy()


def measure(served: dict, regions: np.ndarray, *, repeats: int) -> list[dict]:
    """A row for each runtime on f32[b, k, h, w, 3]; they take turns, call by call."""
    batch = len(regions)
    # Large batches take long and spread little.
    repeats = max(5, repeats // max(1, batch // 4))
    in_a_row = min(IN_A_ROW, repeats) if batch <= 8 else 1
    taken = timing.time_in_turns(
        {key: functools.partial(call, regions) for key, call in served.items()},
        warmup=1,
        repeats=-(-repeats // in_a_row),
        in_a_row=in_a_row,
        pause=PAUSE if batch <= 8 else 0.0,
    )
    answers = {key: call(regions) for key, call in served.items()}
    reference = answers["SavedModel", "float32"]
    return [
        {
            "runtime": runtime,
            "dtype": policy,
            "batch": batch,
            "ms_p50": 1e3 * times.quantile(0.5),
            "ms_p99": 1e3 * times.quantile(0.99),
            "difference": float(np.abs(answers[runtime, policy] - reference).max()),
        }
        for (runtime, policy), times in taken.items()
    ]


if __name__ == "__main__":
    main()
