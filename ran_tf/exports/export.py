"""From a trained model to a SavedModel folder that serves without Keras and without this package.

    EXPORT_DIR/<integer version>/     what TensorFlow Serving watches
        saved_model.pb  variables/
        assets/labels.txt             class names, one a line, in index order
        assets/card.json              `ModelCard`
        assets.extra/                 warm-up requests, see `warmup`

Signatures (b faces, n classes, k regions; every b is allowed):
    serving_default   image_bytes string[b]: JPEG, PNG, BMP or GIF (first frame) of any size
    images            images u8[b, H, W, 3]: RGB faces of any size
    regions           regions f32[b, k, h, w, 3]: RGB crops in 0..255 of the model's size, for
                      runtimes that can neither decode nor cut, see `signatures`
All return probabilities f32[b, n], label i64[b], weights f32[b, k]; the first two also boxes
f32[b, k, 4].

The graph holds constants, with batch normalisation folded into convolutions (see `freeze`).

`format="onnx"` or "tflite" writes the signatures `images` and `regions` in float32 as
EXPORT_DIR/<version>/model.onnx and regions.onnx, or model.tflite with both (the layout of Triton
and OpenVINO Model Server), with labels, card and boxes in each file, and the first two in `assets`.
`format="web"` writes model.onnx and a page that runs it in a browser, see `web_page`.

Faces are resized as in training and evaluation, see `resampling`; a JPEG has the pixels that
`images.decode_image` gives it.
`serving_default` takes files of at most 2^24 bytes and 2^24 pixels (GIF: 2^18 bytes), which is
checked before anything is decoded; see `decode` for the formats. EXIF orientation is not
applied. Bytes that are no such image, or end too early, fail the whole request with a message that
names the item; so do damaged ones, with TensorFlow's own message.
"""

import dataclasses
import os
import pathlib
import tempfile
from typing import Any

import tensorflow as tf

from ran_tf import backend, settings, vocabulary
from ran_tf.checks import InvalidArgument, check_choice
from ran_tf.exports import check as export_check
from ran_tf.exports import portable, quantised, warmup, web_page
from ran_tf.exports.signatures import FaceClassifier
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.safety import files
from ran_tf.weights import sources
from ran_tf.weights.card import ModelCard, Quantised, card_for
from ran_tf.weights.export_folder import (
    ASSETS,
    CARD,
    LABELS,
    find_version,
    read_card,
    version_numbers,
)
from ran_tf.weights.records import BEST_WEIGHTS

FORMATS = ("saved_model", "onnx", "tflite", "web")

# In a version: the checksum of the weights of the run that it was made of.
_MADE_OF = "assets.extra/weights.sha256"


@dataclasses.dataclass(frozen=True)
class Export:
    """A written export.

    Attributes:
      path: EXPORT_DIR/<version>.
      difference: largest absolute difference of an output between the model and the export,
        reloaded in a process without Keras, or in the format's runtime; None if not checked.
      policy: that it computes in, such as "mixed_bfloat16"; "" if that is not known.
      quantised: what quantisation changed, as the card of the files says; None without.
    """

    path: pathlib.Path
    difference: float | None
    policy: str = ""
    quantised: Quantised | None = None


def export(
    model: RegionAttentionNetwork | str | os.PathLike,
    export_dir: str | os.PathLike,
    *,
    data: Any = None,
    version: int | None = None,
    check: bool = True,
    dtype: str | None = None,
    format: str = "saved_model",
    quantize: str | None = None,
    calibration: Any = None,
    compare: Any = None,
    data_dir: str | None = None,
    web_runtime: str | os.PathLike | None = None,
) -> Export:
    """Writes a network for serving to EXPORT_DIR/<version>/, which appears complete or not at all.

    Args:
      model: `RegionAttentionNetwork`, or a preset or work directory of one.
      export_dir: folder of the versions; made if absent.
      data: dataset that it was trained on, see `ran_tf.load_dataset`; that of its card when None.
      version, check, dtype, format, quantize, calibration, compare, data_dir, web_runtime: see
        `write_export`.

    Returns:
      `Export`: its folder, and its largest difference from the model.

    Raises:
      FileExistsError: if that version exists.
      FileNotFoundError: if there is no such preset, or a run has no finished epoch.
      ValueError: for a network without a card and no `data`, or one that cannot be exported.
      RuntimeError: if the export does not agree with the model; nothing is written then.

    Example:
      >>> model = ran_tf.from_preset("ran_faceres_shared_ferplus")
      >>> written = ran_tf.export(model, "export", check=False)
      >>> ran_tf.Predictor("export").labels[0]
      'neutral'
    """
    source = sources.resolve(model) if isinstance(model, (str, os.PathLike)) else None
    network = model if source is None else sources.load_trained(source).model
    written = write_export(
        network,
        card_for(network, data),
        export_dir=export_dir,
        version=version,
        check=check,
        dtype=dtype,
        format=format,
        quantize=quantize,
        calibration=calibration,
        compare=compare,
        data_dir=data_dir,
        web_runtime=web_runtime,
    )
    if source is not None and source.kind == "workdir":
        files.write_text(written.path / _MADE_OF, files.sha256(source.path / BEST_WEIGHTS))
    return written


def is_exported(workdir: str | os.PathLike, export_dir: str | os.PathLike) -> bool:
    """Whether the newest version in `export_dir` is of the weights that a run keeps."""
    version, weights = find_version(export_dir), pathlib.Path(workdir) / BEST_WEIGHTS
    if version is None or not (version / _MADE_OF).is_file() or not weights.is_file():
        return False
    return (version / _MADE_OF).read_text(encoding="utf-8") == files.sha256(weights)


def write_export(
    model,
    card: ModelCard,
    *,
    export_dir: str | os.PathLike,
    version: int | None = None,
    check: bool = True,
    dtype: str | None = None,
    format: str = "saved_model",
    quantize: str | None = None,
    calibration: Any = None,
    compare: Any = None,
    data_dir: str | None = None,
    web_runtime: str | os.PathLike | None = None,
) -> Export:
    """Writes EXPORT_DIR/<version>/ with a card that is given, whole or not at all.

    Args:
      model: `RegionAttentionNetwork` with its weights.
      card: what is needed to use it.
      export_dir: folder of the versions; made if absent.
      version: folder name; None is one more than the largest there, 1 at first.
      check: reload it in a process without Keras and compare, before it appears under its name.
      dtype: policy that the export computes in, such as "mixed_bfloat16"; None is the model's.
      format: one of `FORMATS`; those but the first need the extra `export` and are float32.
      quantize: of those, "float16" (half the bytes) or "int8" (a quarter, and faster).
      calibration: of int8: a folder of face crops, a split of the dataset on the card, such as
        "train", or faces u8[n, H, W, 3]; 256 of them are used.
      compare: of a quantised file: likewise; all are classified before and after, and what changed
        is on the card. None is what `calibration` used.
      data_dir: where that dataset is prepared; TFDS' default when None.
      web_runtime: of "web": the folder of npm's `onnxruntime-web`; None is
        node_modules/onnxruntime-web in the working directory.

    Raises:
      FileExistsError: if that version exists.
      ValueError: for a model that cannot be exported, see `FaceClassifier`, or a format that cannot
        be written.
      RuntimeError: if the export does not agree with the model; nothing is written then.
    """
    backend.require_tensorflow()
    export_dir = pathlib.Path(export_dir).expanduser()
    _check_version(export_dir, version)
    check_choice("format", format, FORMATS)
    faces = compared = runtime = None
    if format == "web":
        runtime = web_page.find_runtime(web_runtime)
    elif web_runtime is not None:
        raise InvalidArgument("web_runtime", f"absent with format {format!r}", str(web_runtime))
    _check_quantize(quantize, calibration, compare, format=format)
    if format != "saved_model":
        _check_portable(format, dtype=dtype)
        if quantize == "int8":
            faces = quantised.read_faces("calibration", calibration, card=card, data_dir=data_dir)
            compared = faces = faces.sample()
        if compare is not None:
            compared = quantised.read_faces("compare", compare, card=card, data_dir=data_dir)
    else:
        model = model.twin(dtype=dtype) if dtype is not None else model
        classifier = FaceClassifier(model, card)
    difference = cost = None
    files.remove_partial(export_dir)
    with files.partial_folder(export_dir) as partial:
        if format != "saved_model":
            portable.write_files(
                *(model, partial),
                card=card,
                format=format,
                quantise=quantize,
                faces=None if faces is None else faces.images,
            )
            if check and quantize is not None and compared is not None:
                cost = portable.measure_cost(
                    partial, model=model, card=card, format=format, kind=quantize, faces=compared
                )
                card = dataclasses.replace(card, quantised=cost)
            elif check and quantize is None:
                difference = portable.compare_files(partial, model=model, card=card, format=format)
            portable.add_notes(partial, card=card, format=format)
            (partial / ASSETS).mkdir()
            _write_assets(partial / ASSETS, card=card)
            if runtime is not None:
                web_page.write(partial, card=card, runtime=runtime)
        else:
            _write_saved_model(partial, classifier=classifier, card=card)
            if check:
                difference = export_check.compare_with_model(partial, model=model, card=card)
        path = _publish(partial, export_dir=export_dir, version=version)
    policy = model.dtype_policy.name if format == "saved_model" else "float32"
    return Export(path=path, difference=difference, policy=policy, quantised=cost)


def check_export(
    directory: str | os.PathLike,
    *,
    model: RegionAttentionNetwork | str | os.PathLike | None = None,
    data: Any = None,
    dtype: str | None = None,
) -> Export:
    """Reloads an export in a process without Keras, and compares its answers.

    Args:
      directory: EXPORT_DIR (its newest version) or one version in it.
      model: the exported network, or its preset or work directory. When None, the signatures of the
        export are compared with each other.
      data: as in `ran_tf.export`.
      dtype: policy of the export, if it is not the model's.

    Returns:
      `Export`.

    Raises:
      FileNotFoundError: if there is no export, or no such model.
      ValueError: if the export was made from another model card.
      RuntimeError: if the export cannot be loaded, or its answers differ by more than rounding.

    Example:
      >>> written = ran_tf.export("ran_faceres_shared_ferplus", "export", check=False)
      >>> ran_tf.check_export("export").difference < 1e-4
      True
    """
    version = find_version(directory)
    if version is None:
        raise FileNotFoundError(
            "`directory` must hold an export, or be a version of one. "
            f"Received: directory={str(directory)!r}"
        )
    stored = read_card(version)
    if model is None:
        return Export(version, export_check.compare_signatures(version, card=stored))
    if isinstance(model, (str, os.PathLike)):
        model = sources.load_trained(model).model
    card = card_for(model, data)
    there, here = map(settings.fingerprint, (stored, card))
    if different := settings.differences(there, here):
        raise ValueError(
            "the export must be of this model. Received: an export whose card differs: "
            f"{settings.describe(different)}"
        )
    model = model.twin(dtype=dtype) if dtype else model
    return Export(version, export_check.compare_with_model(version, model=model, card=card))


def _check_portable(format: str, *, dtype: str | None) -> None:
    portable.check_installed(format)
    if dtype not in (None, "float32"):
        raise ValueError(f"`format` {format!r} supports only float32. Received: dtype={dtype!r}")


def _check_quantize(quantize: str | None, calibration: Any, compare: Any, *, format: str) -> None:
    check_choice("quantize", quantize, (None, *vocabulary.QUANTISED))
    if compare is not None and quantize is None:
        raise InvalidArgument("compare", "absent without quantize", compare)
    if quantize is not None and format == "saved_model":
        raise InvalidArgument("quantize", "absent with format 'saved_model'", quantize)
    if (calibration is None) == (quantize == "int8"):
        raise InvalidArgument(
            "calibration",
            "a folder of faces or a split with quantize='int8', and absent otherwise",
            calibration,
        )


def _write_saved_model(
    folder: pathlib.Path, *, classifier: FaceClassifier, card: ModelCard
) -> None:
    with tempfile.TemporaryDirectory() as assets:
        classifier.assets = [
            tf.saved_model.Asset(str(path)) for path in _write_assets(assets, card=card)
        ]
        tf.saved_model.save(classifier, str(folder), signatures=classifier.signatures())
    faces = export_check.example_faces(1)
    inputs = export_check.inputs_of(faces, card=card, shape=classifier.regions_shape)
    requests: dict[str, dict] = {
        "serving_default": {"image_bytes": [tf.io.encode_png(faces[0]).numpy()]},
        "images": {"images": inputs["images"]},
        "regions": {"regions": inputs["regions"]},
    }
    warmup.write_warmup(folder, requests)


def _write_assets(folder: str | os.PathLike, *, card: ModelCard) -> list[pathlib.Path]:
    contents = {LABELS: "\n".join(card.labels) + "\n", CARD: card.to_json()}
    for name, text in contents.items():
        files.write_text(pathlib.Path(folder) / name, text)
    return [pathlib.Path(folder) / name for name in contents]


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
            f"`version` {version} exists and is never overwritten; known: "
            f"{version_numbers(export_dir)}. Received: export_dir={str(export_dir)!r}, "
            f"version={version}"
        )


def _publish(partial: pathlib.Path, *, export_dir: pathlib.Path, version: int | None):
    """Renames the finished folder; a version that another process has just made is left alone."""
    _check_version(export_dir, version)
    path = export_dir / str(version or max(version_numbers(export_dir), default=0) + 1)
    # Refused by the system when `path` has become a folder with anything in it.
    os.rename(partial, path)
    return path
