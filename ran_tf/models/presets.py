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
import zipfile

import numpy as np

from ran_tf.config import ModelCard
from ran_tf.models import weights_file
from ran_tf.models.ran import RegionAttentionNetwork

WEIGHTS, CARD, KNOWN, README = "weights.npz", "card.json", "known_output.json", "README.md"
FOLDER = pathlib.Path(__file__).parents[1] / "presets"


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A network with its weights, and what is needed to use it."""

    model: RegionAttentionNetwork
    card: ModelCard


def from_preset(name: str, *, dtype: str = "float32") -> RegionAttentionNetwork:
    """A trained network that comes with the package.

    `ran_tf.Predictor(name)` also does what the preset's card says of size, colour and regions; by
    hand, those are `load_preset(preset_path(name)).card`.

    Args:
      name: of the preset.
      dtype: policy of the network.

    Raises:
      ValueError: for an unknown name.
    """
    return load_preset(preset_path(name), dtype=dtype).model


def known_presets() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}")))


def preset_path(name: str) -> pathlib.Path:
    """The folder of a preset that comes with the package. Raises ValueError for an unknown name."""
    if name not in known_presets():
        known = ", ".join(known_presets()) or "(none is packaged)"
        raise ValueError(f"`name` must be one of the presets {known}. Received: name={name!r}")
    return FOLDER / name


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
    parts = _read(pathlib.Path(path))
    card = ModelCard.from_json(parts[CARD].decode())
    expected = json.loads(parts[KNOWN])["weights_sha256"]
    found = hashlib.sha256(parts[WEIGHTS]).hexdigest()
    if found != expected:
        raise ValueError(
            f"{WEIGHTS} must have the SHA-256 {expected}; copy the preset again. "
            f"Received: {found}, {len(parts[WEIGHTS]):,} bytes, in {str(path)!r}"
        )
    model = RegionAttentionNetwork(**{**card.model, "synchronized": False, "dtype": dtype})
    with np.load(io.BytesIO(parts[WEIGHTS]), allow_pickle=False) as arrays:
        _assign(model, dict(arrays), source=str(path))
    return TrainedModel(model=model, card=card)


def pack_weights(model: RegionAttentionNetwork) -> bytes:
    """The contents of weights.npz.

    Raises:
      ValueError: if a weight does not fit into float16.
    """
    arrays = {}
    for name, weight in _weights(model).items():
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


def known_faces(*, seed: int = 0, count: int = 4) -> np.ndarray:
    """Faces that never change, to compare a network with what it once said.

    Returns:
      u8[count, 48, 48, 3]: grey and coloured squares.
    """
    squares = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)
    squares[: count // 2] = squares[: count // 2, ..., :1]
    return squares.repeat(8, axis=1).repeat(8, axis=2)


def _read(path: pathlib.Path) -> dict[str, bytes]:
    """The files that loading needs, by name."""
    folder, archive = path, None
    if path.is_file():
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"a preset must be a folder or a zip file. Received: {str(path)!r}: {error}"
            ) from error
        folder = zipfile.Path(archive)
        inside = [entry for entry in folder.iterdir() if entry.is_dir()]
        if not (folder / CARD).is_file() and len(inside) == 1:
            (folder,) = inside
    try:
        missing = [name for name in (WEIGHTS, CARD, KNOWN) if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"a preset must hold {WEIGHTS}, {CARD} and {KNOWN}; {', '.join(missing)} is "
                f"missing. Received: {str(path)!r}"
            )
        return {name: (folder / name).read_bytes() for name in (WEIGHTS, CARD, KNOWN)}
    finally:
        if archive is not None:
            archive.close()


def _weights(model) -> dict:
    weights = weights_file.float_weights(model)
    named = {v.path: v for v in weights}
    if len(named) != len(weights):
        raise ValueError(
            "a preset keeps weights by path, so each must have its own. Received: "
            f"{len(weights)} weights of {len(named)} paths in backbone {model.backbone.name!r}"
        )
    return named


def _assign(model, arrays: dict[str, np.ndarray], *, source: str) -> None:
    weights = _weights(model)
    wrong = sorted(
        name
        for name in weights.keys() | arrays.keys()
        if name not in weights
        or name not in arrays
        or tuple(weights[name].shape) != arrays[name].shape
    )
    if wrong:
        raise ValueError(
            f"the weights of a preset must be those of the network on its card; {len(wrong)} "
            f"differ: {', '.join(wrong[:5])}. Received: {source!r}"
        )
    for name, weight in weights.items():
        weight.assign(arrays[name].astype(np.float32))
