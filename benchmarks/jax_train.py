"""Trains on FERPlus with Keras on JAX, for a machine with an accelerator and no TensorFlow.

    python benchmarks/repack_faces.py --manual_dir=FERPLUS --out=FACES
    python benchmarks/jax_train.py --faces=FACES --plan=benchmarks/ferplus_plan.json --out=DIR

The plan is JSON: `runs`, a list of objects of the fields of `Run`, done in their order, and
`common`, fields of all. Each run ends in DIR/NAME.weights.h5, the moving average of the weights
after the last epoch (no epoch is chosen), and in measures on PublicTest in DIR/runs.json;
`jax_workdir.py` makes work directories of them for evaluate, export and make_preset. With
`--seconds` a run that would not end in time is given up after its second epoch.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import jax_faces
import jax_step
import numpy as np

from ran_tf.config import AugmentConfig, OptimizerConfig
from ran_tf.evaluation import corruptions
from ran_tf.training import schedule

_EVALUATION_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Run:
    """One network.

    Attributes:
      name: of its files, and for `init` and `teachers` of later runs.
      init: weights file of a backbone or a network, a preset, or an earlier run.
      size: side of a region, pixels.
      unsure: also train on faces whose annotators do not agree.
      public_test: also train on PublicTest, as the paper's authors did. What is measured on it is
        then no validation.
      teachers: earlier runs whose mean answer to a training face makes up `teacher_share` of its
        target (its votes are the rest).
      step: of `jax_step.StepConfig`.
    """

    name: str
    init: str
    size: int = 161
    epochs: int = 10
    batch_size: int = 128
    dropout: float = 0.2
    seed: int = 0
    unsure: bool = False
    public_test: bool = False
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.5
    step: jax_step.StepConfig = dataclasses.field(default_factory=jax_step.StepConfig)


def read_plan(path: pathlib.Path) -> list[Run]:
    """The runs of a plan, in their order.

    Raises:
      ValueError: for an optimizer that `jax_step` is not.
    """
    plan = json.loads(path.read_text())
    return [_read_run(plan["common"], fields) for fields in plan["runs"]]


def _read_run(common: dict, fields: dict) -> Run:
    step = {**common["step"], **fields.get("step", {})}
    step["augment"] = AugmentConfig(**step.get("augment", {}))
    optimizer = step.get("optimizer", {})
    if "milestones" in optimizer:  # JSON knows no tuples, and a step is hashed
        optimizer = {**optimizer, "milestones": tuple(optimizer["milestones"])}
    step["optimizer"] = OptimizerConfig(**optimizer)
    if step["optimizer"].name != "sgd" or step["optimizer"].clip_norm:
        raise ValueError(
            f"the run {fields.get('name')!r} must have the optimizer sgd and no clip_norm: "
            f"the step has neither others nor clipping. Received: name={step['optimizer'].name!r}, "
            f"clip_norm={step['optimizer'].clip_norm}"
        )
    fields = {**common, **fields, "step": jax_step.StepConfig(**step)}
    return Run(**{**fields, "teachers": tuple(fields.get("teachers", ()))})


def validation_sets(faces: dict) -> dict[str, np.ndarray]:
    """PublicTest as it is, under an occluder that training never shows, and turned: u8 images.

    Each face gets one of the occluders, and turns to one side by 20 to 45 degrees.
    """
    image, ids = np.repeat(faces["image"], 3, axis=-1), list(faces["id"])
    occluded = corruptions.occlude_in_turn(image, ids)
    turned = corruptions.corrupt(image, ids, kind="turn")
    return {
        "clean": image[..., :1],
        "mirrored": image[:, :, ::-1, :1],
        "occluded": occluded[..., :1],
        "turned": turned[..., :1],
    }


def teaching_faces(faces: dict) -> dict:
    """Training and PublicTest, one after the other, and from which each face is: `split`."""
    parts = [
        {**arrays, "split": np.full(len(arrays["label"]), split)} for split, arrays in faces.items()
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chosen_faces(run: Run, faces: dict) -> np.ndarray:
    """Numbers of those of `teaching_faces` that a run trains on."""
    in_splits = (faces["split"] == "train") | run.public_test
    return np.flatnonzero(in_splits & ((faces["label"] >= 0) | run.unsure))


@functools.cache
def compiled(size: int, dropout: float, step: jax_step.StepConfig) -> dict:
    """The network and its jitted functions; runs that differ in seed and targets share them."""
    model = jax_step.build_model("mobilenet_v1", size=size, dropout=dropout)
    train_step = jax_step.make_step(model, step)

    # The faces are arguments: constants would be compiled in.
    @functools.partial(jax.jit, donate_argnums=0)
    def train_epoch(state, images, targets, order, key, rates, first):
        def body(state, x):
            chosen, number, rate = x
            return train_step(
                state,
                images[chosen],
                targets[chosen],
                jax.random.fold_in(key, number),
                rate,
                number,
            )

        numbers = first + jnp.arange(len(order), dtype=jnp.int32)
        state, sums = jax.lax.scan(body, state, (order, numbers, rates))
        return state, {name: jnp.mean(values) for name, values in sums.items()}

    @jax.jit
    def logits(state, images):
        def one(images):
            inputs = jax_step.regions_of(images, count=step.regions)
            outputs, _ = model.stateless_call(
                state["ema"], state["ema_others"], inputs, training=False
            )
            return outputs["logits"]

        return jax.lax.map(one, images)

    return {"model": model, "train_epoch": train_epoch, "logits": logits}


def predict(functions: dict, state: dict, images: np.ndarray) -> np.ndarray:
    """Probabilities of the averaged weights: f32[n, 8]."""
    count = len(images)
    padded = np.resize(
        images, (-(-count // _EVALUATION_BATCH) * _EVALUATION_BATCH, *images.shape[1:])
    )
    batches = padded.reshape(-1, _EVALUATION_BATCH, *images.shape[1:])
    kept = {name: state[name] for name in ("ema", "ema_others")}
    logits = np.asarray(functions["logits"](kept, batches), np.float64).reshape(len(padded), -1)
    logits = logits[:count] - logits[:count].max(axis=-1, keepdims=True)
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def measure(functions: dict, state: dict, sets: dict, labels: np.ndarray) -> dict:
    """Accuracy of each set in per cent, of faces averaged with their mirror images, and the NLL."""
    answers = {name: predict(functions, state, images) for name, images in sets.items()}
    answers["averaged"] = (answers["clean"] + answers.pop("mirrored")) / 2
    right = {n: 100 * float(np.mean(p.argmax(-1) == labels)) for n, p in answers.items()}
    chosen = answers["averaged"][np.arange(len(labels)), labels]
    return {
        **{name: round(value, 2) for name, value in right.items()},
        "nll": round(float(-np.mean(np.log(chosen))), 4),
    }


def train(
    run: Run, *, faces: dict, sets: dict, done: dict, teaches: bool, deadline: float
) -> dict | None:
    """Trains one network; None if its epochs would not end in time.

    What comes back has `answers`, to all `teaching_faces`, if the network teaches a later one.
    """
    functions = compiled(run.size, run.dropout, run.step)
    model, train_faces = functions["model"], teaching_faces(faces)
    source = done[run.init]["path"] if run.init in done else run.init
    jax_step.fill(model, source, seed=run.seed)
    state = jax_step.initial_state(model)
    used = chosen_faces(run, train_faces)
    targets = train_faces["votes"]
    if run.teachers:
        told = np.mean([done[name]["answers"] for name in run.teachers], axis=0)
        targets = (1 - run.teacher_share) * targets + run.teacher_share * told
    images, targets = jnp.asarray(train_faces["image"]), jnp.asarray(targets, jnp.float32)
    rng, key = np.random.default_rng(run.seed), jax.random.key(run.seed)
    steps = len(used) // run.batch_size
    for epoch in range(run.epochs):
        began = time.perf_counter()
        first = epoch * steps
        order = rng.permutation(used)[: steps * run.batch_size].reshape(steps, run.batch_size)
        rates = [
            schedule.learning_rate(s, total_steps=run.epochs * steps, config=run.step.optimizer)
            for s in range(first, first + steps)
        ]
        state, means = functions["train_epoch"](
            state, images, targets, order, key, jnp.asarray(rates, jnp.float32), jnp.int32(first)
        )
        means = {name: float(value) for name, value in means.items()}
        seconds = time.perf_counter() - began
        last = epoch == run.epochs - 1
        if epoch in (0, 1) or last or epoch % 5 == 4:
            measured = measure(functions, state, sets, faces["validation"]["label"])
            print(
                f"{run.name} epoch {epoch + 1}/{run.epochs}: {means['cross_entropy']:.4f} "
                f"{means['region_loss']:.4f} {measured} {steps * run.batch_size / seconds:.0f}/s",
                flush=True,
            )
        # The first epoch compiles: the second tells how long the others take.
        if epoch == 1 and time.monotonic() + seconds * (run.epochs - 2) > deadline:
            print(f"{run.name}: too little time left", flush=True)
            return None
    result = {"measured": measured, "train": means, "seconds_per_epoch": seconds}
    jax_step.assign_average(model, state)
    if teaches:
        both = [predict(functions, state, train_faces["image"][:, :, ::turn]) for turn in (1, -1)]
        result["answers"] = sum(both) / 2
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=pathlib.Path, required=True)
    parser.add_argument("--plan", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--limit", type=int, help="faces of each split, for a trial")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds
    try:
        plan = read_plan(arguments.plan)
    except ValueError as error:
        parser.error(f"--plan: {error}")
    faces = jax_faces.read_faces(arguments.faces)
    if arguments.limit:
        faces = {
            split: {name: values[: arguments.limit] for name, values in arrays.items()}
            for split, arrays in faces.items()
        }
    sets = validation_sets(faces["validation"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    done, log, given_up = {}, {}, set()
    teachers = {name for run in plan for name in run.teachers}
    for run in plan:
        lacking = sorted({run.init, *run.teachers} & given_up)
        if lacking:
            print(f"{run.name}: left out, as it needs {', '.join(lacking)}", flush=True)
            given_up.add(run.name)
            continue
        teaches = run.name in teachers
        result = train(run, faces=faces, sets=sets, done=done, teaches=teaches, deadline=deadline)
        if result is None:
            given_up.add(run.name)
            continue
        path = arguments.out / f"{run.name}.weights.h5"
        compiled(run.size, run.dropout, run.step)["model"].save_weights(path)
        done[run.name] = {"path": str(path), "answers": result.pop("answers", None)}
        log[run.name] = {"run": dataclasses.asdict(run), "device": str(jax.devices()[0]), **result}
        (arguments.out / "runs.json").write_text(json.dumps(log, indent=1))


if __name__ == "__main__":
    main()
