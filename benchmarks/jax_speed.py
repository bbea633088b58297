"""How fast a training step is on Keras' JAX backend, and how near to the device's own limit.

    python benchmarks/jax_speed.py --backbone=resnet18 --size=224 --batch=64 --regions=6

Augmentation and crops happen on the device, in the step. Prints one JSON object: compile time,
median time of a step, faces/s, what the crops alone take, the step's operations (counted from the
layers), and the rate of a bfloat16 matrix product of 8192 x 8192 in the same process: the peak.
"""

import argparse
import json
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import jax_faces
import jax_step
import numpy as np

from ran_tf.benchmark import flops, timing
from ran_tf.config import AugmentConfig, OptimizerConfig
from ran_tf.regions import crop


def seconds(function, *arguments, repeats: int) -> float:
    """Median time of a call, after two that are not counted."""
    taken = timing.time_call(
        lambda: jax.block_until_ready(function(*arguments)), warmup=2, repeats=repeats
    )
    return taken.median


def matrix_product_rate(side: int, repeats: int) -> float:
    """Operations a second of a square bfloat16 product."""
    a, b = (jax.random.normal(jax.random.key(i), (side, side), jnp.bfloat16) for i in range(2))
    return 2 * side**3 / seconds(jax.jit(jnp.matmul), a, b, repeats=repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenet_v1")
    parser.add_argument("--regions", type=int, default=6)
    parser.add_argument("--regions_per_step", type=int, default=0)
    parser.add_argument("--size", type=int, default=161)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--product", type=int, default=8192, help="side of the matrices")
    arguments = parser.parse_args()
    config = jax_step.StepConfig(
        regions=arguments.regions,
        regions_per_step=arguments.regions_per_step,
        augment=AugmentConfig(degrade=0.2),
        optimizer=OptimizerConfig(),
    )
    model = jax_step.build_model(arguments.backbone, size=arguments.size, dropout=0.2)
    state = jax_step.initial_state(model)
    rng = np.random.default_rng(0)
    image = jnp.asarray(
        rng.integers(0, 256, (arguments.batch, jax_faces.SIDE, jax_faces.SIDE, 1)), jnp.uint8
    )
    targets = jnp.asarray(np.eye(8)[rng.integers(0, 8, arguments.batch)], jnp.float32)
    rest = (image, targets, jax.random.key(0), jnp.float32(0.01), jnp.int32(1000))
    began = time.perf_counter()
    step = jax.jit(jax_step.make_step(model, config)).lower(state, *rest).compile()
    compile_seconds = time.perf_counter() - began
    taken = seconds(step, state, *rest, repeats=arguments.repeats)

    seen = arguments.regions_per_step or arguments.regions
    boxes = jax_step.regions_of(image, count=arguments.regions)["boxes"][:, :seen]
    size = (arguments.size, arguments.size)
    cut = jax.jit(lambda image, boxes: crop.crop_regions(image, boxes, size=size))
    # The step cuts colour, though its channels are equal.
    colour = jnp.broadcast_to(image, (*image.shape[:3], 3)).astype(jnp.float32)
    crops = seconds(cut, colour, boxes, repeats=arguments.repeats)
    peak = matrix_product_rate(arguments.product, arguments.repeats)
    # Not XLA's own count: it leaves out the convolutions that are calls of cuDNN.
    operations = flops.TRAINING * arguments.batch * flops.face_flops(model, k=seen)
    found = {
        **vars(arguments),
        "device": jax.devices()[0].device_kind,
        "compile_seconds": compile_seconds,
        "step_ms": 1e3 * taken,
        "faces_per_second": arguments.batch / taken,
        "crops_ms": 1e3 * crops,
        "crops_share": crops / taken,
        "step_gflop": operations / 1e9,
        "peak_tflops": peak / 1e12,
        "share_of_peak": operations / taken / peak,
    }
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()}))


if __name__ == "__main__":
    main()
