"""Where networks look on the face of one photo, before and after drawn occluders: a PNG for each.

    python experiments/looks.py --models ran_faceres_shared_ferplus RUN --out=DIR [--photo=FILE]

The photo is scikit-image's astronaut unless one is given (`pip install scikit-image`).
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

import ran_tf
from ran_tf.evaluation.robustness import looks
from ran_tf.inference import runner
from ran_tf.regions import kinds

# Of the face, pixels: large enough to look at; networks make it as small as they want it.
_SIDE = 160
KINDS = ("surgical mask", "sunglasses", "hand", "bandage", "balloon")


def face_batch(photo: np.ndarray, card) -> dict:
    """The largest face of a photo u8[H, W, 3], as evaluation batches have faces."""
    (found,) = ran_tf.Predictor("face_faceres_ferplus").faces([photo])
    y0, x0, y1, x1 = max(found, key=lambda one: one.box[2] - one.box[0]).box
    face = Image.fromarray(photo).crop((x0, y0, x1, y1)).resize((_SIDE, _SIDE))
    boxes = kinds.serving_boxes(card.regions)[None]
    return {
        "id": np.array([b"photo"]),
        "image": np.asarray(face)[None],
        "boxes": boxes,
        "mask": np.ones(boxes.shape[:2], bool),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--photo", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    if arguments.photo:
        photo = np.asarray(Image.open(arguments.photo).convert("RGB"))
    else:
        from skimage import data

        photo = data.astronaut()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for model in arguments.models:
        classifier = runner.load(model)
        batch = face_batch(photo, classifier.card)
        found = looks.find(classifier, batch, kinds=KINDS)
        name = f"looks_{pathlib.Path(model).name}.png"
        looks.figure(found).savefig(arguments.out / name)
        print(name)


if __name__ == "__main__":
    main()
