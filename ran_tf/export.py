"""From a trained model to a SavedModel folder that serves without Keras and without this package.

    EXPORT_DIR/<integer version>/     what TensorFlow Serving watches
        saved_model.pb  variables/
        assets/labels.txt             class names, one a line, in index order
        assets/card.json              `ModelCard`

Signatures (b faces, n classes, k regions):
    serving_default   image_bytes string[b]: JPEG, PNG, BMP or GIF (first frame) of any size
    images            images u8[b, H, W, 3]: RGB faces of any size
Both return probabilities f32[b, n], label i64[b], weights f32[b, k], boxes f32[b, k, 4].

The graph holds constants, with batch normalisation folded into convolutions (see `freeze`).

Faces are resized as in training and evaluation (bilinear, half-pixel centres, rounded to u8). Bytes
that are no image fail the whole request; EXIF orientation is not applied.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from ran_tf import files, freeze
from ran_tf.config import ModelCard
from ran_tf.data import ops
from ran_tf.regions import boxes as region_boxes

SIGNATURES = ("serving_default", "images")
SAVED_MODEL, ASSETS, LABELS, CARD = "saved_model.pb", "assets", "labels.txt", "card.json"

# ITU-R BT.601, as image viewers take colour out.
_LUMA = (0.299, 0.587, 0.114)

# Largest difference of an output between model and export that is rounding. In bfloat16 a folded
# kernel is rounded anew.
_TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-1}
# An accelerator multiplies float32 with 10 bits of mantissa (TF32); the export is checked on a CPU.
_ACCELERATOR_TOLERANCE = 1e-2


@dataclasses.dataclass(frozen=True)
class Export:
    """A written export.

    Attributes:
      path: EXPORT_DIR/<version>.
      difference: largest absolute difference of an output between the model and the export,
        reloaded in a process without Keras; None if that was not checked.
    """

    path: pathlib.Path
    difference: float | None


class FaceClassifier(tf.Module):
    """A network with all its card says, as two TensorFlow functions: the signatures above.

    Attributes:
      images: u8[b, H, W, 3] -> dict of outputs.
      image_bytes: string[b] -> dict of outputs.

    Raises:
      ValueError: for a card that does not fit the network, or with landmark regions.
    """

    def __init__(self, model, card: ModelCard):
        super().__init__(name="face_classifier")
        _check_labels(model, card)
        faces_spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
        # Constants instead of variables: nothing of Keras enters the SavedModel.
        frozen = freeze.freeze(
            tf.function(_make_classify(model, card), input_signature=[faces_spec])
        )

        def decode(data):
            return prepare_faces(decode_bytes(data)[tf.newaxis], card=card)[0]

        def classify_bytes(image_bytes):
            spec = tf.TensorSpec([*card.image_size, 3], tf.uint8)
            return frozen(tf.map_fn(decode, image_bytes, fn_output_signature=spec))

        # A function of its own, so that the argument has its name.
        self.images = tf.function(lambda images: frozen(images), input_signature=[faces_spec])
        self.image_bytes = tf.function(
            classify_bytes, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")]
        )


def _make_classify(model, card: ModelCard):
    """The network on faces of any size, u8[b, H, W, 3] -> dict of outputs, with its variables."""
    boxes = serving_boxes(card)

    def classify(images):
        faces = prepare_faces(images, card=card)
        tiled = tf.tile(tf.constant(boxes[np.newaxis]), [tf.shape(faces)[0], 1, 1])
        out = model({"image": faces, "boxes": tiled}, training=False)
        logits = tf.cast(out["logits"], tf.float32)
        return {
            "probabilities": tf.nn.softmax(logits),
            "label": tf.argmax(logits, axis=-1, output_type=tf.int64),
            "weights": tf.cast(out["weights"], tf.float32),
            "boxes": tiled,
        }

    return classify


def serving_boxes(card: ModelCard) -> np.ndarray:
    """The regions that a served model looks at, the same for every face: f32[k, 4].

    Random regions are `random_boxes(k, seed=0)`.

    Raises:
      ValueError: for landmark regions, which are not the same for every face.
    """
    regions = card.regions
    if regions.kind == "landmarks" and regions.k > 1:
        raise ValueError(
            "a model with landmark regions cannot be exported: its regions differ from face to "
            "face. Train with --regions=fixed or --regions=random. "
            f"Received: card.regions.kind={regions.kind!r}"
        )
    if regions.kind == "random":
        return region_boxes.random_boxes(regions.k, seed=0)
    return region_boxes.fixed_boxes(regions.k, variant=regions.variant)


def prepare_faces(images, *, card: ModelCard):
    """Faces of any size as the model was trained on them.

    Doing it twice changes nothing, so prepared faces may be sent to an export.

    Args:
      images: u8[b, H, W, 3], RGB.
      card: says the size, and whether colour is taken out.

    Returns:
      u8[b, h, w, 3].
    """
    if card.colour == "grey":
        grey = tf.tensordot(tf.cast(images, tf.float32), tf.constant(_LUMA), axes=1)
        images = tf.cast(tf.round(grey), tf.uint8)[..., tf.newaxis]
    return ops.to_face(images, size=card.image_size)


def decode_bytes(data):
    """Decodes JPEG, PNG, BMP or the first frame of a GIF in the graph: string[] -> u8[H, W, 3].

    Grey images get three equal channels, an alpha channel is dropped.
    """
    image = tf.io.decode_image(data, expand_animations=False)
    coloured = tf.shape(image)[-1] >= 3
    return tf.gather(image, tf.where(coloured, [0, 1, 2], [0, 0, 0]), axis=-1)


def write_export(
    model,
    card: ModelCard,
    *,
    export_dir: str | os.PathLike,
    version: int | None = None,
    check: bool = True,
    dtype: str | None = None,
) -> Export:
    """Writes EXPORT_DIR/<version>/, whole or not at all.

    Args:
      model: `RegionAttentionNetwork` with its weights.
      card: what is needed to use it.
      export_dir: made if absent.
      version: folder name; None is one more than the largest there, 1 at first.
      check: reload it in a process without Keras and compare, before it appears under its name.
      dtype: policy that the export computes in, such as "mixed_bfloat16"; None is the model's.

    Raises:
      FileExistsError: if that version exists.
      ValueError: for a model that cannot be exported, see `FaceClassifier`.
      RuntimeError: if the export does not agree with the model; nothing is written then.
    """
    export_dir = pathlib.Path(export_dir).expanduser()
    _check_version(export_dir, version)
    if dtype is not None:
        model = twin(model, dtype=dtype)
    classifier = FaceClassifier(model, card)
    with files.partial_folder(export_dir) as partial:
        with tempfile.TemporaryDirectory() as assets:
            classifier.assets = _write_assets(assets, card=card)
            tf.saved_model.save(
                classifier,
                str(partial),
                signatures={
                    "serving_default": classifier.image_bytes,
                    "images": classifier.images,
                },
            )
        difference = _compare(partial, model=model, card=card) if check else None
        path = _publish(partial, export_dir=export_dir, version=version)
    return Export(path=path, difference=difference)


def find_version(export_dir: str | os.PathLike) -> pathlib.Path | None:
    """The newest version of an export, or the folder itself if it is one version; else None."""
    export_dir = pathlib.Path(export_dir)
    if (export_dir / SAVED_MODEL).is_file():
        return export_dir
    versions = [v for v in _versions(export_dir) if (export_dir / str(v) / SAVED_MODEL).is_file()]
    return export_dir / str(max(versions)) if versions else None


def read_card(version_dir: str | os.PathLike) -> ModelCard:
    """The card of an export. Raises FileNotFoundError for a SavedModel of another maker."""
    path = pathlib.Path(version_dir) / ASSETS / CARD
    if not path.is_file():
        raise FileNotFoundError(
            f"{ASSETS}/{CARD} is missing: not an export of ran_tf.launch.export. "
            f"Received: {str(version_dir)!r}"
        )
    return ModelCard.from_json(path.read_text(encoding="utf-8"))


def _check_labels(model, card: ModelCard) -> None:
    classes = model.get_config()["num_classes"]
    if classes != len(card.labels):
        raise ValueError(
            f"`card.labels` must name the {classes} classes of the model. "
            f"Received: labels={card.labels}"
        )


def _check_version(export_dir: pathlib.Path, version: int | None) -> None:
    if export_dir.exists() and not export_dir.is_dir():
        raise NotADirectoryError(
            f"`export_dir` must be a folder. Received: export_dir={str(export_dir)!r}"
        )
    if version is None:
        return
    if version < 1:
        raise ValueError(f"`version` must be a positive integer. Received: version={version!r}")
    if (export_dir / str(version)).exists():
        raise FileExistsError(
            f"`version` {version} exists and is never overwritten; known: {_versions(export_dir)}. "
            f"Received: export_dir={str(export_dir)!r}, version={version}"
        )


def _versions(export_dir: pathlib.Path) -> list[int]:
    """Every integer name in use, whatever stands there."""
    if not export_dir.is_dir():
        return []
    return sorted(
        int(p.name) for p in export_dir.iterdir() if p.name.isascii() and p.name.isdigit()
    )


def _write_assets(folder: str, *, card: ModelCard) -> list[tf.saved_model.Asset]:
    contents = {LABELS: "\n".join(card.labels) + "\n", CARD: card.to_json()}
    for name, text in contents.items():
        files.write_text(pathlib.Path(folder) / name, text)
    return [tf.saved_model.Asset(str(pathlib.Path(folder) / name)) for name in contents]


def _publish(partial: pathlib.Path, *, export_dir: pathlib.Path, version: int | None):
    """Renames the finished folder; a version that another process has just made is left alone."""
    _check_version(export_dir, version)
    path = export_dir / str(version or max(_versions(export_dir), default=0) + 1)
    # Refused by the system when `path` has become a folder with anything in it.
    os.rename(partial, path)
    return path


def twin(model, **changes):
    """A network with equal weights and some arguments changed, such as `dtype`."""
    other = type(model).from_config({**model.get_config(), **changes})
    other.set_weights(model.get_weights())
    return other


def _compare(path: pathlib.Path, *, model, card: ModelCard) -> float:
    """Largest difference of an output on random faces between the model here and the export."""
    faces = np.random.default_rng(0).integers(0, 256, (4, 96, 80, 3), np.uint8)
    expected = tf.function(_make_classify(model, card))(tf.constant(faces))
    answers = _answers_without_keras(path, faces=faces)
    difference = max(
        float(np.abs(answers[f"{signature}/{name}"] - value.numpy()).max())
        for signature in SIGNATURES
        for name, value in expected.items()
        if name != "label"  # follows from the probabilities, but for ties
    )
    tolerance = _TOLERANCE[model.dtype_policy.compute_dtype]
    if tf.config.list_logical_devices("GPU"):
        tolerance = max(tolerance, _ACCELERATOR_TOLERANCE)
    if not difference <= tolerance:
        raise RuntimeError(
            f"the export differs from the model by {difference:.2g} (allowed: {tolerance:.0e}); "
            "nothing was written. Please report this with the versions in run.json."
        )
    return difference


def _answers_without_keras(path: pathlib.Path, *, faces: np.ndarray) -> dict[str, np.ndarray]:
    """What both signatures say in a fresh process that cannot import Keras.

    Returns:
      "<signature>/<output>" -> array.
    """
    script = pathlib.Path(__file__).with_name("reload.py")
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = pathlib.Path(folder, "faces.npy"), pathlib.Path(folder, "answers.npz")
        np.save(inputs, faces)
        # -P: the script's own folder holds modules whose names others may use (config, metrics).
        result = subprocess.run(
            [sys.executable, "-P", script, path, inputs, outputs],
            capture_output=True,
            text=True,
            # This process may hold all memory of the accelerator.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        if result.returncode:
            raise RuntimeError(
                f"the export cannot be reloaded without Keras: {result.stderr[-2000:]}"
            )
        with np.load(outputs) as answers:
            return dict(answers)
