"""Trained networks in a few megabytes: those that come with the package, and others like them.

    <name>/ or <name>.zip
        weights.npz         float16 arrays by path of variable, nothing pickled; vectors (biases,
                            batch normalisations) float32, whose range they need
        card.json           `ModelCard`
        known_output.json   SHA-256 of the weights, and what the network says of `known_faces`
        README.md           model card for people

`ran_tf.launch.make_preset` makes one of a training run.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from ran_tf import registry
from ran_tf.checks import check_choice
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.weights import fetch, hub, preset_file, weights_file
from ran_tf.weights.card import ModelCard, check_labels, describe_model
from ran_tf.weights.preset_file import CARD, KNOWN, README, WEIGHTS

FOLDER = pathlib.Path(__file__).parents[1] / "presets"
# Larger files are refused. The weights of VGG-16 take 280 MB.
MAX_WEIGHTS, MAX_TEXT = 2**30, 2**20


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A network with its weights, and what is needed to use it."""

    model: RegionAttentionNetwork
    card: ModelCard


def from_preset(
    source: str | os.PathLike,
    *,
    num_classes: int | None = None,
    labels: Sequence[str] | None = None,
    dtype: str = "float32",
) -> RegionAttentionNetwork:
    """A trained network, perhaps with other classes.

    Its `card` says what faces it was trained on: `ran_tf.Predictor(source)` heeds that, who calls
    the network does it by hand. With other classes, `labels` tell which of them it knows; without,
    the classifier of as many classes stays, and that of another number is new.

    Args:
      source: name of a preset that comes with the package, see `ran_tf.presets`; the folder or zip
        file of one, or its URL#sha256=HEX; `hf://ORG/NAME` of Hugging Face or
        `kaggle://OWNER/MODEL/FRAMEWORK/VARIATION` of Kaggle (extra `hub`).
      num_classes: of the network; None is the preset's.
      labels: names of its classes, in index order. What the classifier knows of a name that the
        preset has too is taken over, others begin at random.
      dtype: policy of the network.

    Returns:
      A `RegionAttentionNetwork` in evaluation's weights, ready for `compile` and `fit`. Its `card`
      names `labels`; it is None where the names of new classes are not known.

    Raises:
      ValueError: if there is no such preset, it is damaged, or the classes cannot be.
      OSError: for a URL that cannot be read, or a hub that does not have it.
      RuntimeError: for a hub without its client.

    Example:
      >>> model = ran_tf.from_preset("ran_faceres_shared_ferplus", labels=["fear", "no fear"])
      >>> model.card.labels
      ('fear', 'no fear')
    """
    path = find_preset(source)
    if path is None:
        known = ", ".join(known_presets()) or "none is packaged"
        raise ValueError(
            f"`source` must be the name of a preset ({known}), or the folder, zip file or URL of "
            f"one. Received: source={str(source)!r}"
        )
    model = load_preset(path, dtype=dtype).model
    if labels is None and num_classes in (None, len(model.card.labels)):
        return model
    return _with_classes(model, num_classes=num_classes, labels=labels)


def _with_classes(model, *, num_classes: int | None, labels: Sequence[str] | None):
    """A network with other classes: those of names that it has keep what was learnt of them."""
    card, known = None, ()
    if labels is not None:
        labels = tuple(labels)
        check_labels("labels", labels)
        check_choice("num_classes", num_classes, (None, len(labels)))
        num_classes, known = len(labels), model.card.labels
    other = type(model).from_config({**model.get_config(), "num_classes": num_classes})
    if labels is not None:
        card = dataclasses.replace(model.card, labels=labels, model=other.arguments)
    other.card = card
    old = weights_file.weights_by_path(model)
    for name, weight in weights_file.weights_by_path(other).items():
        if not name.startswith("classifier/"):
            weight.assign(old[name])
            continue
        values, theirs = np.array(weight), np.asarray(old[name])
        for i, label in enumerate(labels or ()):
            if label in known:
                values[..., i] = theirs[..., known.index(label)]
        weight.assign(values)
    return other


def presets() -> dict[str, str]:
    """The presets that come with the package: a line on each, by name.

    Example:
      >>> ran_tf.presets()["face_faceres_ferplus"]
      'ferplus, 8 classes: mobilenet_v1, whole face, faces of 48x48 px'
    """
    cards = {name: read_card(FOLDER / name) for name in known_presets()}
    return {
        name: f"{card.dataset}, {len(card.labels)} classes: "
        + describe_model(dataclasses.asdict(card))
        for name, card in cards.items()
    }


def upload_preset(address: str, folder: str | os.PathLike) -> None:
    """Puts a preset where models are kept; the hub's client asks who you are.

    Args:
      address: `hf://ORG/NAME` of Hugging Face, or `kaggle://OWNER/MODEL/FRAMEWORK/VARIATION` of
        Kaggle; made there if it is new, else it gets a new version.
      folder: as `ran_tf.save_to_preset` writes it.

    Raises:
      FileNotFoundError, ValueError: for a folder that is no whole preset, or another address.
      RuntimeError: without the hub's client, which comes with the extra `hub`.
      OSError: if the hub refuses.

    Example:
      >>> known = ran_tf.from_preset("ran_faceres_shared_ferplus").save_to_preset("mine")
      >>> ran_tf.upload_preset("hf://me/mine", "mine")  # doctest: +SKIP
    """
    folder = pathlib.Path(folder).expanduser()
    load_preset(folder)
    preset_file.read_files(folder, limits={README: MAX_TEXT})
    hub.upload(address, folder)


def find_preset(source: str | os.PathLike) -> pathlib.Path | None:
    """The folder or zip file of a preset that `from_preset` takes; None if it is none."""
    if str(source) in known_presets():
        return FOLDER / str(source)
    path = fetch.local_path(source)
    return path if is_preset(path) else None


def known_presets() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}")))


def is_preset(path: str | os.PathLike) -> bool:
    """Whether a folder or a zip file looks like a preset."""
    path = pathlib.Path(path)
    if path.is_dir():
        return (path / WEIGHTS).is_file()
    return path.suffix == ".zip" and path.is_file()


def load_preset(path: str | os.PathLike, *, dtype: str = "float32") -> TrainedModel:
    """Loads the preset in a folder or zip file.

    Args:
      path: the folder, or a zip file of its files, perhaps within one folder.
      dtype: policy of the network, whatever it was trained with.

    Raises:
      FileNotFoundError: if a file of it is missing.
      ValueError: if the weights are not those that it was made with, or do not fit its card.
    """
    parts = preset_file.read_files(
        pathlib.Path(path), limits={WEIGHTS: MAX_WEIGHTS, CARD: MAX_TEXT, KNOWN: MAX_TEXT}
    )
    card = ModelCard.from_json(parts[CARD], source=f"{CARD} of {str(path)!r}")
    expected = _expected_digest(parts[KNOWN], source=str(path))
    found = hashlib.sha256(parts[WEIGHTS]).hexdigest()
    if found != expected:
        raise ValueError(
            f"{WEIGHTS} must have the SHA-256 {expected}; copy the preset again. "
            f"Received: {found}, {len(parts[WEIGHTS]):,} bytes, in {str(path)!r}"
        )
    model = build_network(card, dtype=dtype, source=str(path))
    weights = weights_file.weights_by_path(model)
    arrays = preset_file.read_arrays(
        parts[WEIGHTS], shapes={n: tuple(v.shape) for n, v in weights.items()}, source=str(path)
    )
    for name, weight in weights.items():
        weight.assign(arrays[name])
    return TrainedModel(model=model, card=card)


def read_card(path: str | os.PathLike) -> ModelCard:
    """The card of the preset in a folder or zip file; raises as `load_preset` does."""
    parts = preset_file.read_files(pathlib.Path(path), limits={CARD: MAX_TEXT})
    return ModelCard.from_json(parts[CARD], source=f"{CARD} of {str(path)!r}")


def build_network(
    card: ModelCard, *, dtype: str | None = None, source: str
) -> RegionAttentionNetwork:
    """The network that a card describes, with random weights, for use and not for training.

    Args:
      card: whose `model` holds the arguments, perhaps of a stranger's file.
      dtype: policy of the network; None is the card's own.
      source: the file or folder of the card, for errors.

    Raises:
      NotRegisteredError: for a backbone or attention that nobody has registered.
      ValueError: if there is no such network.
    """
    changes = {"synchronized": False, **({"dtype": dtype} if dtype else {})}
    try:
        if card.model.get("num_classes", 8) != len(card.labels):
            raise ValueError(f"num_classes must be the number of labels, {len(card.labels)}")
        model = RegionAttentionNetwork(**{**card.model, **changes})
    except registry.NotRegisteredError as error:
        raise error.reading(repr(source)) from error
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError) as error:
        said = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(
            f"`model` of a card must be arguments of RegionAttentionNetwork. Received: {source!r}: "
            f"{said[:500]}"
        ) from error
    model.card = card
    return model


def _expected_digest(text: bytes, *, source: str) -> str:
    try:
        return str(json.loads(text)["weights_sha256"])[:64]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(
            f"{KNOWN} must be a JSON object with weights_sha256. Received: {source!r}: "
            f"{text[:40]!r}"
        ) from error


def pack_weights(model: RegionAttentionNetwork) -> bytes:
    """The contents of weights.npz.

    Raises:
      ValueError: if a weight does not fit into float16.
    """
    arrays = {}
    for name, weight in weights_file.weights_by_path(model).items():
        value = np.asarray(weight, np.float32)
        with np.errstate(over="ignore"):
            arrays[name] = value if value.ndim < 2 else value.astype(np.float16)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(
                "weights must be finite and below 65,504, the largest float16. "
                f"Received: {name}, largest {np.abs(value).max():.4g}"
            )
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def known_faces() -> np.ndarray:
    """Faces that never change, to compare a network with what it once said.

    Returns:
      u8[4, 48, 48, 3]: grey and coloured squares.
    """
    squares = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
    squares[:2] = squares[:2, ..., :1]
    return squares.repeat(8, axis=1).repeat(8, axis=2)
