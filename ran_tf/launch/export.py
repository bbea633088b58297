"""Exports a model for serving.

    python -m ran_tf.launch.export --workdir=DIR|--model=PRESET --export_dir=DIR [--version=N] \
        [--dtype=POLICY]

Writes a preset, or the best epoch of a training run, as EXPORT_DIR/<version>/: a SavedModel for
TensorFlow Serving, `ran_tf.Predictor` and anything else that reads one. Before it appears it is
reloaded in a fresh process without Keras and compared with the model.
"""

import os

from absl import flags

from ran_tf.launch import command


def define_flags() -> None:
    """Not on import: `ran_tf.launch.train` has flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.")
    flags.DEFINE_string("model", None, "Name, folder, zip file or URL of a preset.")
    flags.mark_flags_as_mutual_exclusive(["workdir", "model"], required=True)
    flags.DEFINE_string("export_dir", None, "Where versions are written.", required=True)
    flags.DEFINE_integer("version", None, "Folder name; by default the next free integer.")
    flags.DEFINE_enum(
        "dtype",
        None,
        ("float32", "mixed_bfloat16"),
        "Policy that the export computes in; by default the one that the model was trained in.",
    )


def export_workdir(
    workdir: str | os.PathLike,
    *,
    export_dir: str | os.PathLike,
    version: int | None = None,
    dtype: str | None = None,
) -> None:
    """Exports a preset or the best epoch of a run, and says how far the export is from the model.

    Raises:
      FileNotFoundError: if there is no such preset or run, or the run has no finished epoch.
      FileExistsError: if `version` exists.
    """
    from ran_tf import export, sources

    trained = sources.load_trained(workdir)
    written = export.write_export(
        trained.model, trained.card, export_dir=export_dir, version=version, dtype=dtype
    )
    print(f"export: {written.path}")
    print(
        "reloaded without Keras, it differs from the model by at most "
        f"{written.difference:.1e} on random faces"
    )


def main() -> None:
    values = flags.FLAGS
    export_workdir(
        values.workdir or values.model,
        export_dir=values.export_dir,
        version=values.version,
        dtype=values.dtype,
    )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
