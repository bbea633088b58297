"""How well what a network computes tells the covered share of a face: covered_share.json.

    python experiments/covered_share.py --data_dir=DATA --models ran_faceres_shared_ferplus RUN \\
        --out=covered_share.json

Ridge regressions from several readings of a network to the covered share of the whole face. They
are fitted on training faces, of which seven of ten are under the drawings of training
(`ran_tf.augment.drawings`), and tried on validation faces under the occluders of evaluation, of
which `KEPT_OUT` are of kinds that training never draws. The AUC is of faces that are covered by
more than 20 % against the same faces as they are. Under "listed", of faces of the test split whose
occlusion the authors of RAN listed by looking at them, against those that they did not list: real
covers, of which most are small.

A model whose card reads the covered share itself (`ran_tf.weights.covered_readout`) is tried with
this reading, too, and its answers on validation faces are counted by what it reads.
"""

import argparse
import itertools
import json
import pathlib

import numpy as np
import tensorflow as tf

from ran_tf import vocabulary
from ran_tf.augment import bank, cover, draws
from ran_tf.data import pipeline
from ran_tf.data.prepared import open_dataset
from ran_tf.evaluation import metrics, predictions
from ran_tf.evaluation.robustness import corruptions, occluders
from ran_tf.exports import signatures
from ran_tf.inference import runner
from ran_tf.models import attention
from ran_tf.regions import kinds
from ran_tf.weights import sources

_COVERED = 0.2
_CHANCE = 0.7
_WHOLE = np.float32([[0, 0, 1, 1]])
# Between these estimates answers are counted.
_EDGES = (0.0, 0.1, 0.15, 1.0)
# What is read of a network.
NAMES = [
    "weights",
    "mu and nu",
    "feature of the whole face",
    "feature of the face",
]


def make_reader(trained):
    """Returns a function from faces u8[b, h, w, 3] to readings f32[b, d] by name."""
    model, card = trained.model, trained.card
    boxes = kinds.serving_boxes(card.regions)

    @tf.function(autograph=False, reduce_retracing=True)
    def compute(faces):
        prepared = signatures.prepare_faces(faces, card=card)
        tiled = tf.tile(tf.constant(boxes[np.newaxis]), [tf.shape(faces)[0], 1, 1])
        features = model.region_features(prepared, tiled, training=False)
        log_mu = attention.log_weights(model.self_attention, features)
        anchor = attention.weighted_sum(attention.normalise(log_mu), features)
        repeated = tf.broadcast_to(anchor[:, None], tf.shape(features))
        log_nu = attention.log_weights(
            model.relation_attention, tf.concat([features, repeated], axis=-1)
        )
        weights = attention.normalise(log_mu + log_nu)
        pooled = attention.weighted_sum(weights, features)
        return {
            "weights": tf.math.log(weights + 1e-6),
            "mu and nu": tf.concat([log_mu, log_nu], axis=-1),
            "feature of the whole face": features[:, 0],
            "feature of the face": tf.concat([pooled, anchor], axis=-1),
        }

    def read(faces):
        found = compute(tf.constant(faces))
        return {name: found[name].numpy() for name in NAMES}

    return read


def fit(x: np.ndarray, y: np.ndarray):
    """A ridge regression f32[b, d] -> f64[b]; its strength by the error on every fifth face."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))]).astype(np.float64)
    kept = np.arange(len(z)) % 5 == 0

    def solve(rows, strength):
        gram = z[rows].T @ z[rows] + strength * np.eye(z.shape[1])
        return np.linalg.solve(gram, z[rows].T @ y[rows])

    strengths = 10.0 ** np.arange(-1, 6)
    errors = [np.mean((z[kept] @ solve(~kept, s) - y[kept]) ** 2) for s in strengths]
    weights = solve(np.ones(len(z), bool), strengths[int(np.argmin(errors))])
    return lambda x: np.column_stack([(x - mean) / scale, np.ones(len(x))]) @ weights


def measure(source: str, arguments) -> dict:
    """What `main` writes of a model: by reading, AUCs, correlations, and means by kind."""
    trained = sources.load_trained(source)
    read, card = make_reader(trained), trained.card
    config = pipeline.data_config_of(card, name=card.dataset, data_dir=arguments.data_dir)
    opened = open_dataset(config)

    def batches(split):
        for batch in pipeline.eval_batches(config, opened, split=split, batch_size=100):
            yield {key: np.asarray(value) for key, value in batch.items()}

    readouts = fit_all(read, batches(f"train[:{arguments.fitted}]"))

    def said(faces):
        readings = read(faces)
        found = {name: readouts[name](x) for name, x in readings.items()}
        if card.covered is not None:
            found["card"] = card.covered.share(np.exp(readings["weights"]))
        return found

    tests = try_all(said, batches(f"validation[:{arguments.tried}]"))
    listed = [
        said(batch["image"]) | {"kind": batch["occlusion"]}
        for batch in batches(f"test[:{arguments.listed}]")
    ]
    found = {
        name: describe(name, tests, join(listed)) for name in tests["clean"] if name != "share"
    }
    if card.covered is not None:
        found["card"]["answers"] = count_answers(source, batches("validation"))
    return found


def count_answers(source: str, batches) -> list[dict]:
    """Faces, accuracy and mean probability of the answer, by the estimate of the card."""
    classifier = runner.load(source)
    said = predictions.collect(classifier, batches)
    share, right = classifier.card.covered.share(said.weights), said.predicted == said.label
    rows = []
    for low, high in itertools.pairwise(_EDGES):
        faces = (low <= share) & ((share < high) | (high == 1.0))
        rows.append(
            {
                "from": low,
                "faces": int(faces.sum()),
                "accuracy": float(right[faces].mean()) if faces.any() else None,
                "probability": float(said.probabilities[faces].max(axis=1).mean())
                if faces.any()
                else None,
            }
        )
    return rows


def fit_all(read, batches) -> dict:
    """A readout for each reading, from faces under the drawings of training."""
    drawings = bank.draw_bank(2048, seed=1).arrays()
    found, targets, start = [], [], 0
    for batch in batches:
        images = batch["image"]
        draw = draws.make_draw(draws.face_keys(0, start + np.arange(len(images))))
        start += len(images)
        faces = tf.constant(images, tf.float32)
        done = cover.cover(faces, draw, bank=drawings, chance=_CHANCE)
        found.append(read(np.round(np.asarray(done["image"])).clip(0, 255).astype(np.uint8)))
        targets.append(share_of(np.asarray(done["opacity"])))
    x, y = join(found), np.concatenate(targets)
    return {name: fit(x[name], y) for name in NAMES}


def try_all(said, batches) -> dict[str, dict[str, np.ndarray]]:
    """By kind of occluder, and "clean": what each readout says of faces, and their "share"."""
    rows: dict[str, list] = {kind: [] for kind in ("clean", *occluders.PROPS)}
    for batch in batches:
        images, ids = batch["image"], [str(i, "utf-8") for i in batch["id"]]
        rows["clean"].append(said(images) | {"share": np.zeros(len(images))})
        for kind in occluders.PROPS:
            share = share_of(corruptions.opacity(images, ids, kind=kind))
            faces = corruptions.corrupt(images, ids, kind=kind)
            rows[kind].append(said(faces) | {"share": share})
    return {kind: join(some) for kind, some in rows.items()}


def share_of(opacity: np.ndarray) -> np.ndarray:
    """Of the whole face: f32[b]."""
    return np.asarray(cover.covered_shares(opacity, np.tile(_WHOLE, (len(opacity), 1, 1))))[:, 0]


def join(batches: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def describe(name: str, tests: dict, listed: dict[str, np.ndarray]) -> dict:
    """The figures of one reading."""
    clean = tests["clean"][name]
    report: dict = {"clean": {"said": float(clean.mean())}}
    for kind in occluders.PROPS:
        said, share = tests[kind][name], tests[kind]["share"]
        many = said[share > _COVERED]
        report[kind] = {
            "covered": float(share.mean()),
            "said": float(said.mean()),
            "auc": metrics.area_under_curve(many, clean) if many.size else None,
        }
    kept = list(occluders.KEPT_OUT)
    for group, kinds_ in {"kept out": kept, "others": [*set(occluders.PROPS) - set(kept)]}.items():
        some = join([tests[kind] for kind in kinds_])
        all_said, all_true = np.r_[clean, some[name]], np.r_[np.zeros(len(clean)), some["share"]]
        report[group] = {
            "auc": metrics.area_under_curve(some[name][some["share"] > _COVERED], clean),
            "correlation": float(np.corrcoef(all_said, all_true)[0, 1]),
        }
    score, kind = listed[name], listed["kind"]
    report["listed"] = {"auc": metrics.area_under_curve(score[kind != 0], score[kind == 0])}
    for i, label in enumerate(vocabulary.OCCLUSION_KINDS):
        if i and (kind == i).any():
            report[f"listed, {label}"] = {
                "auc": metrics.area_under_curve(score[kind == i], score[kind == 0])
            }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--fitted", type=int, default=4000)
    parser.add_argument("--tried", type=int, default=400)
    parser.add_argument("--listed", type=int, default=3137)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    found: dict[str, dict] = {}
    for source in arguments.models:
        name = pathlib.Path(source).name
        found[name] = measure(source, arguments)
        for reading, report in found[name].items():
            groups = {group: report[group] for group in ("others", "kept out", "listed")}
            print(name, reading, json.dumps(groups), flush=True)
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
