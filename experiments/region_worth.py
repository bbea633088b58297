"""What the regions of a trained network and their weights bring, each taken by itself.

    python experiments/region_worth.py --model=ran_faceres_ferplus --data_dir=DATA --out=worth.json

Every face of a split goes through the backbone as it is, under an occluder that training never
shows, and turned. The classifier then reads the features in several ways: weighed as the network
weighs them, weighed equally, and each region alone, the first of which is the whole face. Also
printed: how often any region alone is right, how often crops err where the whole face does and
where it does not, and how far the weight of a region differs from face to face.
"""

import argparse
import json
import pathlib

import numpy as np
import tensorflow as tf

from ran_tf.data import pipeline, prepared
from ran_tf.evaluation import metrics
from ran_tf.evaluation.robustness import corruptions
from ran_tf.exports import signatures
from ran_tf.models import attention
from ran_tf.safety import files
from ran_tf.weights import sources


def corrupted(images: np.ndarray, ids: list[str], *, condition: str) -> np.ndarray:
    """Faces as a condition has them; of the occluders each face gets one."""
    if condition == "clean":
        return images
    if condition == "turned":
        return corruptions.corrupt(images, ids, kind="turn")
    return corruptions.occlude_in_turn(images, ids)


def readings(model, features) -> dict[str, np.ndarray]:
    """Predicted class by way of reading f32[b, k, d]: i64[b], of single regions i64[b, k].

    Also "weights" f32[b, k].
    """

    def classes(own, anchor):
        pairs = tf.concat([own, anchor], axis=-1) if model.relation else own
        return tf.argmax(model.classifier(pairs), axis=-1).numpy()

    log_weights = model.self_attention.log_weights(features)
    anchor = attention.weighted_sum(attention.normalise(log_weights), features)
    if model.relation:
        around = tf.broadcast_to(anchor[:, tf.newaxis], tf.shape(features))
        pairs = tf.concat([features, around], axis=-1)
        log_weights += model.relation_attention.log_weights(pairs)
    weights = attention.normalise(log_weights)
    equal = tf.reduce_mean(features, axis=1)
    return {
        "own": classes(attention.weighted_sum(weights, features), anchor),
        "equal": classes(equal, equal),
        "single": classes(features, features),
        "weights": weights.numpy(),
    }


def summarise(read: dict[str, np.ndarray], labels: np.ndarray) -> dict:
    """Fractions of faces, and spreads of weights that sum to 1."""
    own, equal = (read[name] == labels for name in ("own", "equal"))
    single = read["single"] == labels[:, np.newaxis]
    whole, crops = single[:, 0], single[:, 1:]
    difference = metrics.paired_bootstrap(own, equal)
    return {
        "faces": len(labels),
        "own_weights": float(own.mean()),
        "equal_weights": float(equal.mean()),
        "own_less_equal_ci95": difference.ci95,
        "whole_face": float(whole.mean()),
        "own_less_whole": float(own.mean() - whole.mean()),
        "single_regions": single.mean(axis=0).tolist(),
        "any_region": float(single.any(axis=1).mean()),
        "wrong_where_whole_face_is": float((~crops[~whole]).mean()),
        "wrong_elsewhere": float((~crops[whole]).mean()),
        "mean_weights": read["weights"].mean(axis=0).tolist(),
        "deviation_over_faces": read["weights"].std(axis=0).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="preset or work directory")
    parser.add_argument("--dataset", help="another than the one it was trained on")
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    trained = sources.load_trained(arguments.model)
    model, card = trained.model, trained.card
    if card.regions.k == 1:
        parser.error(f"--model must see more than the whole face. Received: {arguments.model}")
    if card.regions.kind == "landmarks":
        parser.error(
            "--model must see the same regions of every face, and landmarks may be missing. "
            f"Received: {arguments.model}, regions of kind {card.regions.kind}"
        )
    data = pipeline.data_config_of(card, name=arguments.dataset, data_dir=arguments.data_dir)
    batches = list(
        pipeline.eval_batches(
            data, prepared.open_dataset(data), split=arguments.split, batch_size=32
        ).as_numpy_iterator()
    )
    features_of = tf.function(
        lambda image, boxes: model.region_features(
            signatures.prepare_faces(image, card=card), boxes, training=False
        ),
        reduce_retracing=True,
    )
    images = np.concatenate([batch["image"] for batch in batches])
    ids = [i.decode() for batch in batches for i in batch["id"]]
    labels = np.concatenate([batch["label"] for batch in batches])
    result = {"model": arguments.model, "split": arguments.split, "conditions": {}}
    for condition in ("clean", "occluded", "turned"):
        shown = corrupted(images, ids, condition=condition)
        ends = np.cumsum([len(batch["label"]) for batch in batches])
        read = [
            readings(model, features_of(faces, batch["boxes"]))
            for faces, batch in zip(np.split(shown, ends[:-1]), batches, strict=True)
        ]
        joined = {name: np.concatenate([r[name] for r in read]) for name in read[0]}
        result["conditions"][condition] = summarise(joined, labels)
        print(condition, json.dumps(result["conditions"][condition], indent=1), flush=True)
    files.write_text(arguments.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
