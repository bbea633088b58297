"""Exports a model for serving.

    python -m ran_tf.launch.export --workdir=DIR|--model=PRESET --export_dir=DIR [--version=N] \\
        [--dtype=POLICY] [--format=saved_model|onnx|tflite]
    python -m ran_tf.launch.export --check=EXPORT_DIR|VERSION_DIR \\
        [--workdir=DIR|--model=PRESET [--dtype=POLICY]]

Writes a preset, or the weights that a training run keeps, as EXPORT_DIR/<version>/: a SavedModel
for TensorFlow Serving, `ran_tf.Predictor` and anything else that reads one. Before it appears it is
reloaded in a fresh process without Keras and compared with the model. `--check` does that again
with an export that is there; without its model, its signatures are compared with each other.
"""

import os
import pathlib

from absl import flags

from ran_tf import vocabulary
from ran_tf.launch import command, terminal
from ran_tf.safety import files

# Of a run, see `training.records`; and the checksum of those that a version was made of.
_WEIGHTS, _MADE_OF = "best.weights.h5", "assets.extra/weights.sha256"
_RELOADED = {
    "saved_model": "reloaded without Keras",
    "onnx": "in ONNX Runtime",
    "tflite": "in LiteRT",
}


def define_flags() -> None:
    """Not on import: `ran_tf.launch.train` has flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.")
    flags.DEFINE_string("model", None, "Name, folder, file or URL of a preset.")
    flags.mark_flags_as_mutual_exclusive(["workdir", "model"])
    flags.DEFINE_string("export_dir", None, "Where versions are written.")
    flags.DEFINE_string("check", None, "Export to check; nothing is written.")
    flags.mark_flags_as_mutual_exclusive(["export_dir", "check"], required=True)
    flags.DEFINE_integer("version", None, "Folder name; by default the next free integer.")
    flags.DEFINE_enum(
        "dtype",
        None,
        vocabulary.DTYPES,
        "Policy that the export computes in; by default that of the run, and float32 of a preset.",
    )
    flags.DEFINE_enum(
        "format",
        "saved_model",
        list(_RELOADED),
        'onnx and tflite take crops, in float32, and need the extra "export".',
    )


def export_model(
    source: str | os.PathLike,
    *,
    export_dir: str | os.PathLike,
    version: int | None = None,
    dtype: str | None = None,
    format: str = "saved_model",
) -> None:
    """Exports a preset or what a run keeps, and says how far the export is from the model.

    Raises:
      FileNotFoundError: if there is no such preset or run, or the run has no finished epoch.
      FileExistsError: if `version` exists.
    """
    import ran_tf
    from ran_tf.weights import sources

    model = sources.load_trained(source).model
    written = ran_tf.export(model, export_dir, version=version, dtype=dtype, format=format)
    if pathlib.Path(source).is_dir():
        weights = pathlib.Path(source, _WEIGHTS)
        if weights.is_file():
            files.write_text(written.path / _MADE_OF, files.sha256(weights))
    terminal.say(f"export: {written.path}")
    terminal.say(
        f"{_RELOADED[format]}, it differs from the model by at most "
        f"{written.difference:.1e} on random faces"
    )
    policy = dtype or model.dtype_policy.name
    if format == "saved_model" and policy != "float32":
        terminal.say(
            f"it computes in {policy}: exports in float32 (--dtype=float32, onnx, tflite) may "
            "differ from it by a few hundredths"
        )


def is_exported(workdir: pathlib.Path, *, export_dir: pathlib.Path) -> bool:
    """Whether the newest version in `export_dir` is of the weights that a run keeps."""
    from ran_tf.exports import export

    version, weights = export.find_version(export_dir), workdir / _WEIGHTS
    if version is None or not (version / _MADE_OF).is_file() or not weights.is_file():
        return False
    return (version / _MADE_OF).read_text(encoding="utf-8") == files.sha256(weights)


def check_export(
    directory: str | os.PathLike, *, source: str | None, dtype: str | None = None
) -> None:
    """Says how far an export is from its model, or its signatures from each other.

    Args:
      directory: EXPORT_DIR or one version in it.
      source: the preset or work directory that it was made of.
      dtype: policy that it was made in, if not the model's.

    Raises:
      FileNotFoundError: if there is no such export, preset or run.
      RuntimeError: if it is further than rounding.
    """
    from ran_tf.exports import export
    from ran_tf.weights import sources

    if source is None:
        checked = export.check_export(directory)
        compared = "its signatures differ"
    else:
        trained = sources.load_trained(source)
        model = trained.model.twin(dtype=dtype) if dtype else trained.model
        checked = export.check_export(directory, model=model, card=trained.card)
        compared = "it differs from the model"
    terminal.say(f"export: {checked.path}")
    terminal.say(
        f"reloaded without Keras, {compared} by at most {checked.difference:.1e} on random faces"
    )


def main() -> None:
    values = flags.FLAGS
    source = values.workdir or values.model
    if values.check is not None:
        check_export(values.check, source=source, dtype=values.dtype)
        return
    if source is None:
        raise ValueError("--workdir or --model must say what is exported. Received: neither")
    export_model(
        source,
        export_dir=values.export_dir,
        version=values.version,
        dtype=values.dtype,
        format=values.format,
    )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
