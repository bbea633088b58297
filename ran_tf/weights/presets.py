"""Trained networks in a few megabytes: those that come with the package, and others like them.

A preset is a folder, see `preset_file`, or the model.safetensors in it alone.
`ran_tf.launch.make_preset` makes one of a training run. Keras is imported where a network is made:
what a preset is called, and what its card says, is known without.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ran_tf import registry
from ran_tf.checks import check_choice
from ran_tf.weights import fetch, hub, preset_file
from ran_tf.weights.card import ModelCard, check_labels, describe_model
from ran_tf.weights.preset_file import GRAPH, WEIGHTS, is_preset

if TYPE_CHECKING:
    from ran_tf.models.ran import RegionAttentionNetwork

FOLDER = pathlib.Path(__file__).parents[1] / "presets"


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A network with its weights, and what is needed to use it."""

    model: "RegionAttentionNetwork"
    card: ModelCard


def from_preset(
    source: str | os.PathLike,
    *,
    num_classes: int | None = None,
    labels: Sequence[str] | None = None,
    dtype: str = "float32",
) -> "RegionAttentionNetwork":
    """Loads a trained network, as it is or with other classes.

    Its `card` says what faces it was trained on. `ran_tf.Predictor(source)` prepares faces as the
    card says. If you call the network itself, prepare the faces yourself. With `labels`, the
    network keeps the weights of classes with the same names. Without `labels`, it keeps its
    classifier if the number of classes is the same, and gets a new classifier if not.

    Args:
      source: name of a packaged preset, see `ran_tf.presets`; the folder of a preset, its
        model.safetensors, or the URL#sha256=HEX of that file; `hf://ORG/NAME` of Hugging Face or
        `kaggle://OWNER/MODEL/FRAMEWORK/VARIATION` of Kaggle (extra `hub`).
      num_classes: number of classes; that of the preset when None.
      labels: names of the classes, in index order. Classes that the preset also has keep their
        weights. Other classes start with random weights.
      dtype: precision policy of the network.

    Returns:
      A `RegionAttentionNetwork`, ready for `compile` and `fit`. Its `card` has `labels`. The card
      is None if the names of new classes are not known.

    Raises:
      ValueError: for an unknown or damaged preset, or classes that are not possible.
      OSError: for a URL that cannot be read, or a hub that does not have the preset.
      RuntimeError: if the client of the hub is not installed.

    Example:
      >>> model = ran_tf.from_preset("ran_faceres_shared_ferplus", labels=["fear", "no fear"])
      >>> model.card.labels
      ('fear', 'no fear')
    """
    path = find_preset(source)
    if path is None:
        known = ", ".join(known_presets()) or "none is packaged"
        raise ValueError(
            f"`source` must be the name of a preset ({known}), or the folder, .safetensors file "
            f"or URL of one. Received: source={str(source)!r}"
        )
    model = load_preset(path, dtype=dtype).model
    if labels is None and num_classes in (None, len(model.card.labels)):
        return model
    return _with_classes(model, num_classes=num_classes, labels=labels)


def _with_classes(model, *, num_classes: int | None, labels: Sequence[str] | None):
    """A network with other classes: those of names that it has keep what was learnt of them."""
    from ran_tf.weights import weights_file

    card, known = None, ()
    if labels is not None:
        check_labels("labels", labels)
        check_choice("num_classes", num_classes, (None, len(labels)))
        num_classes, known = len(labels), model.card.labels
    other = type(model).from_config({**model.get_config(), "num_classes": num_classes})
    if labels is not None:
        card = dataclasses.replace(model.card, labels=tuple(labels), model=other.arguments)
    other.card = card
    classes = {i: known.index(label) for i, label in enumerate(labels or ()) if label in known}
    weights_file.take_weights(other, model, classes=classes)
    return other


def presets() -> dict[str, str]:
    """The presets that come with the package.

    Returns:
      A dict from the names that `from_preset` takes to one line about each preset.

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
    """Uploads a preset to Hugging Face or Kaggle. The hub's client asks who you are.

    Args:
      address: `hf://ORG/NAME` of Hugging Face, or `kaggle://OWNER/MODEL/FRAMEWORK/VARIATION` of
        Kaggle. A new model is made there; a known one gets a new version.
      folder: folder of the preset, as `ran_tf.save_to_preset` writes it.

    Raises:
      FileNotFoundError, ValueError: for a folder that is not a whole preset, or another address.
      RuntimeError: without the hub's client, which comes with the extra `hub`.
      OSError: if the hub refuses.

    Example:
      >>> known = ran_tf.from_preset("ran_faceres_shared_ferplus").save_to_preset("mine")
      >>> ran_tf.upload_preset("hf://me/mine", "mine")  # doctest: +SKIP
    """
    folder = pathlib.Path(folder).expanduser()
    load_preset(folder)
    hub.upload(address, folder)


def find_graph(path: pathlib.Path, card: ModelCard) -> pathlib.Path | None:
    """The graph that ONNX Runtime computes a preset with; None where the package has none.

    A graph depends on the card alone, and holds no weights: that of a packaged preset serves all of
    its design. A graph is a program, if one of few words: another's is not run.

    Args:
      path: of the preset.
      card: of it.
    """
    if preset_file.weights_of(path).suffix != ".safetensors":
        return None
    graphs = [FOLDER / name / GRAPH for name in known_presets()]
    alike = (g for g in graphs if g.is_file() and design(read_card(g.parent)) == design(card))
    return next(alike, None)


def design(card: ModelCard) -> dict:
    """What a graph of a network depends on."""
    return {
        "classes": len(card.labels),
        "colour": card.colour,
        "image_size": card.image_size,
        "model": card.model,
        "regions": card.regions,
    }


def find_preset(source: str | os.PathLike) -> pathlib.Path | None:
    """The folder or file of a preset that `from_preset` takes; None if it is none."""
    if str(source) in known_presets():
        return FOLDER / str(source)
    path = fetch.local_path(source)
    return path if is_preset(path) else None


def known_presets() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{WEIGHTS}")))


def load_preset(path: str | os.PathLike, *, dtype: str = "float32") -> TrainedModel:
    """Loads a preset.

    Args:
      path: the folder, or its model.safetensors.
      dtype: policy of the network, whatever it was trained with.

    Raises:
      FileNotFoundError: if a file of it is missing.
      ValueError: if it is damaged, or its weights do not fit its card.
    """
    from ran_tf.weights import weights_file

    path = pathlib.Path(path)
    card = read_card(path)
    model = build_network(card, dtype=dtype, source=str(path))
    weights = weights_file.weights_by_path(model)
    arrays = preset_file.read_arrays(path, shapes={n: tuple(v.shape) for n, v in weights.items()})
    for name, weight in weights.items():
        weight.assign(arrays[name])
    return TrainedModel(model=model, card=card)


def read_card(path: str | os.PathLike) -> ModelCard:
    """The card of a preset; arguments and errors as `load_preset`."""
    text = preset_file.read_card(pathlib.Path(path))
    return ModelCard.from_json(text, source=f"the card of {str(path)!r}")


def build_network(
    card: ModelCard, *, dtype: str | None = None, source: str
) -> "RegionAttentionNetwork":
    """The network that a card describes, with random weights, for use and not for training.

    Args:
      card: whose `model` holds the arguments, perhaps of a stranger's file.
      dtype: policy of the network; None is the card's own.
      source: the file or folder of the card, for errors.

    Raises:
      NotRegisteredError: for a backbone or attention that nobody has registered.
      ValueError: if there is no such network.
    """
    from ran_tf.models.ran import RegionAttentionNetwork

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


def stored_weights(model: "RegionAttentionNetwork") -> dict[str, np.ndarray]:
    """The weights of a network as a preset has them: float16, and float32 vectors.

    Raises:
      ValueError: if a weight does not fit into float16.
    """
    from ran_tf.weights import weights_file

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
    return arrays


def pack_weights(model: "RegionAttentionNetwork", card: ModelCard) -> bytes:
    """The contents of model.safetensors; errors as `stored_weights`."""
    return preset_file.pack(stored_weights(model), card=card.to_json())


def known_faces() -> np.ndarray:
    """Faces that never change, to compare a network with what it once said.

    Returns:
      u8[4, 48, 48, 3]: grey and coloured squares.
    """
    squares = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
    squares[:2] = squares[:2, ..., :1]
    return squares.repeat(8, axis=1).repeat(8, axis=2)
