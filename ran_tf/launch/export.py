"""Exports a model for serving.

    python -m ran_tf.launch.export --workdir=DIR|--model=PRESET --export_dir=DIR [--version=N] \\
        [--dtype=POLICY] [--format=saved_model|onnx|tflite|web] \\
        [--quantize=int8|float16 [--calibration=FOLDER|SPLIT] [--compare=FOLDER|SPLIT]
        [--data_dir=DIR]]
    python -m ran_tf.launch.export --check=EXPORT_DIR|VERSION_DIR \\
        [--workdir=DIR|--model=PRESET [--dtype=POLICY]]

Writes a preset, or the weights that a training run keeps, as EXPORT_DIR/<version>/: a SavedModel
for TensorFlow Serving, `ran_tf.Predictor` and anything else that reads one. Before the export
appears, it is reloaded in a fresh process without Keras and compared with the model. `--check` does
this again with a finished export. Without --model or --workdir, `--check` compares the signatures
with each other.
"""

import os

from absl import flags

from ran_tf import vocabulary
from ran_tf.launch import command, terminal

_RELOADED = {
    "saved_model": "reloaded without Keras",
    "onnx": "in ONNX Runtime",
    "tflite": "in LiteRT",
    "web": "in ONNX Runtime",
}


def define_flags() -> None:
    """Not on import: `ran_tf.launch.train` has flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.")
    flags.DEFINE_string("model", None, "Name, folder, file or URL of a preset.")
    flags.mark_flags_as_mutual_exclusive(["workdir", "model"])
    flags.DEFINE_string("export_dir", None, "Folder for the versions.")
    flags.DEFINE_string("check", None, "Export to check. Nothing is written.")
    flags.mark_flags_as_mutual_exclusive(["export_dir", "check"], required=True)
    flags.DEFINE_integer("version", None, "Number of the version; the next free one when absent.")
    flags.DEFINE_enum(
        "dtype",
        None,
        vocabulary.DTYPES,
        "Precision policy of the export; when absent, that of the run, or float32 for a preset.",
    )
    flags.DEFINE_enum(
        "format",
        "saved_model",
        list(_RELOADED),
        "onnx, tflite and web (a page that runs it in a browser) are float32 and need the extra "
        '"export".',
    )
    flags.DEFINE_enum(
        "quantize",
        None,
        list(vocabulary.QUANTISED),
        "Quantisation, which makes files of onnx, tflite and web smaller; int8 is also faster.",
    )
    flags.DEFINE_string(
        "calibration",
        None,
        "For int8, faces to calibrate on: a folder of face crops, or a split of the model's "
        "dataset.",
    )
    flags.DEFINE_string(
        "compare",
        None,
        "For a quantised file, faces whose classes before and after quantisation are compared in "
        "its card: a folder or a split, as for --calibration.",
    )
    flags.DEFINE_string(
        "data_dir", None, "TFDS directory of that dataset; TFDS' default when absent."
    )
    flags.DEFINE_string(
        "web_runtime",
        None,
        "For web, the folder of npm's onnxruntime-web; by default node_modules/onnxruntime-web.",
    )


def main() -> None:
    values = flags.FLAGS
    source = values.workdir or values.model
    if values.check is None and source is None:
        raise ValueError(
            "--workdir or --model is needed: it says what to export. Received: neither"
        )
    if values.check is None:
        options = command.chosen(
            *("version", "dtype", "format", "quantize", "calibration", "compare", "web_runtime")
        )
        export(source, values.export_dir, data_dir=values.data_dir, **options)
        return
    import ran_tf

    checked = ran_tf.check_export(values.check, model=source, dtype=values.dtype)
    _say(checked, differs="it differs from the model" if source else "its signatures differ")


def export(
    source: str | os.PathLike, export_dir: str | os.PathLike, *, format="saved_model", **options
) -> None:
    """`ran_tf.export` of a preset or a run; says how far the export is from the model."""
    import ran_tf

    written = ran_tf.export(source, export_dir, format=format, **options)
    _say(written, how=_RELOADED[format])
    if format == "web":
        terminal.say(f"open the page with: python -m http.server --directory {written.path}")
    if written.policy != "float32":
        terminal.say(
            f"the export computes in {written.policy}: float32 exports (--dtype=float32, onnx, "
            "tflite) may differ from it by a few hundredths"
        )


def _say(export, *, how: str = _RELOADED["saved_model"], differs="it differs from the model"):
    terminal.say(f"export: {export.path}")
    if export.quantised is not None:
        terminal.say(export.quantised.describe())
    if export.difference is None:
        return
    terminal.say(f"{how}, {differs} by at most {export.difference:.1e} on random faces")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
