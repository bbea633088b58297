"""What `--model`, `--baseline`, `--init_weights` and `ran_tf.Predictor` take: one resolver for all.

A source is, in this order,
    the name of a preset that comes with the package (./NAME is a folder of that name)
    URL#sha256=HEX of one of the files below, which is downloaded once; hf://ORG/NAME or
        kaggle://OWNER/MODEL/FRAMEWORK/VARIATION of a preset likewise, see `hub`
    the folder of a preset, or its model.safetensors
    EXPORT_DIR, or one version in it, of a SavedModel or of ONNX; FILE.onnx of the latter
    the work directory of a training run
    FILE.weights.h5 (to start training from; it has no card and cannot predict)
"""

import dataclasses
import os
import pathlib

from ran_tf.weights import export_folder, fetch, onnx_session, presets, records
from ran_tf.weights.card import ModelCard

_EXPORTED = (export_folder.SAVED_MODEL, export_folder.ONNX)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model is.

    Attributes:
      name: as it was given.
      kind: "preset", "export" (a SavedModel), "onnx", "workdir" or "weights".
      path: the file or folder; of an export, the version; of ONNX, the file.
    """

    name: str
    kind: str
    path: pathlib.Path


def resolve(source: str | os.PathLike) -> Source:
    """Finds what a source means; nothing is loaded yet.

    Raises:
      FileNotFoundError: if it is nothing of the above.
      ValueError: for another kind of file, or a URL without the right checksum.
    """
    name = str(source)
    preset = presets.find_preset(source)
    if preset is not None:
        return Source(name=name, kind="preset", path=preset)
    path = fetch.local_path(source)
    version = export_folder.find_version(path, files=_EXPORTED) if path.is_dir() else None
    if version is not None and (version / export_folder.SAVED_MODEL).is_file():
        return Source(name=name, kind="export", path=version)
    if version is not None:
        path = version / export_folder.ONNX
    if path.suffix == ".onnx" and path.is_file():
        return Source(name=name, kind="onnx", path=path)
    if any((path / file).is_file() for file in (records.RUN, records.CARD)):
        return Source(name=name, kind="workdir", path=path)
    if path.name.endswith(".weights.h5") and path.is_file():
        return Source(name=name, kind="weights", path=path)
    # A file of another kind is there, and no search for it helps.
    error = ValueError if path.is_file() else FileNotFoundError
    raise error(
        "a model must be the name of a preset "
        f"({', '.join(presets.known_presets()) or 'none is packaged'}), a preset's folder or "
        "model.safetensors, a folder written by ran_tf.launch.export, one of its versions or "
        "its .onnx file, the work directory of a training run with at least one finished epoch, "
        "or, to start training from, a .weights.h5 file such as ran_tf.launch.convert writes. "
        f"Received: source={name!r}" + ("" if path.exists() else ", which does not exist")
    )


def read_card(source: Source | str | os.PathLike) -> ModelCard | None:
    """The card of a source, without its weights; None for a bare weights file.

    Raises:
      FileNotFoundError: for a work directory without a finished epoch, or no such source.
      ValueError: for a damaged card.
    """
    found = source if isinstance(source, Source) else resolve(source)
    readers = {
        "preset": presets.read_card,
        "export": export_folder.read_card,
        "onnx": onnx_session.read_card,
        "workdir": records.read_card,
        "weights": lambda path: None,
    }
    return readers[found.kind](found.path)


def load_trained(source: Source | str | os.PathLike) -> presets.TrainedModel:
    """Loads the network of a preset or of a work directory (the weights it keeps).

    Raises:
      FileNotFoundError: for a work directory without a finished epoch, or no such source.
      ValueError: for a source that holds no network.
    """
    found = source if isinstance(source, Source) else resolve(source)
    if found.kind == "preset":
        return presets.load_preset(found.path)
    if found.kind == "workdir":
        return records.load_workdir(found.path)
    raise ValueError(
        "a network must come from a preset or the work directory of a training run; an export or "
        f"a bare weights file cannot become a network. Received: source={found.name!r}"
    )
