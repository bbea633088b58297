"""python -m ran_tf.launch.prepare --dataset=ferplus --manual_dir=DIR [--data_dir=DIR]

Builds a dataset of `tfds_builders`, once. `--dataset=ferplus/votes` names one of its configs.
What each dataset wants in `--manual_dir` is in its README; `synthetic_faces` wants nothing.
"""

import contextlib
import io
import pathlib
import sys
import time
from collections.abc import Sequence

import tensorflow_datasets as tfds
from absl import app, flags
from rich import console, progress

import tfds_builders
from ran_tf.launch import flags as launch_flags


def prepare(*, dataset: str, manual_dir: str | None = None, data_dir: str | None = None) -> str:
    """Builds a dataset unless it is built.

    Args:
        dataset: a name in `tfds_builders.DATASETS`, perhaps with a config after a slash.
        manual_dir: folder of the raw files, for datasets that need any.
        data_dir: TFDS directory to build in; TFDS' default when None.

    Returns:
        One line that says what stands where.

    Raises:
        ValueError: no such dataset or config, or raw files that are not as published.
        FileNotFoundError: raw files that are missing.
    """
    builder = _open_builder(dataset, data_dir=data_dir)
    if builder.is_prepared():
        return f"{_describe(builder)}. Already built in {builder.data_dir}: delete it to build anew"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        _check_manual_dir(builder, manual_dir)
    start = time.monotonic()
    with _progress_bar() as builder.track:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    seconds = time.monotonic() - start
    return f"{_describe(builder)}. Built in {seconds:.0f} s in {builder.data_dir}"


def _open_builder(dataset: str, *, data_dir: str | None) -> tfds.core.DatasetBuilder:
    name, _, config = dataset.partition("/")
    if name not in tfds_builders.DATASETS:
        raise ValueError(
            f"`dataset` must be one of {', '.join(tfds_builders.DATASETS)}. "
            f"Received: dataset={dataset!r}"
        )
    configs = [config.name for config in tfds_builders.DATASETS[name].BUILDER_CONFIGS]
    if config and config not in configs:
        raise ValueError(
            f"`dataset`: {name} has the configs {', '.join(configs) or 'none'}. "
            f"Received: dataset={dataset!r}"
        )
    return tfds.builder(dataset, data_dir=data_dir, try_gcs=False)


def _check_manual_dir(builder: tfds.core.DatasetBuilder, manual_dir: str | None) -> None:
    wanted = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
    if not manual_dir:
        raise ValueError(
            f"`manual_dir` is needed to build {builder.name}: {wanted} "
            f"Received: manual_dir={manual_dir!r}"
        )
    folder = pathlib.Path(manual_dir).expanduser()
    if not folder.is_dir() or not any(folder.iterdir()):
        state = "is empty" if folder.is_dir() else "is no folder"
        raise FileNotFoundError(
            f"`manual_dir` {state}: {wanted} Received: manual_dir={manual_dir!r}"
        )


@contextlib.contextmanager
def _progress_bar():
    """Yields a `track(sequence, description)` that draws a bar, in place of TFDS' own output."""
    bar = progress.Progress(
        progress.TextColumn("{task.description:>10}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console.Console(file=sys.stdout),
        redirect_stdout=False,
    )
    tfds.disable_progress_bar()
    try:
        # TFDS prints "Unknown size" and the like; the line that `prepare` returns says more.
        with contextlib.redirect_stdout(io.StringIO()), bar:
            yield bar.track
    finally:
        tfds.enable_progress_bar()


def _describe(builder: tfds.core.DatasetBuilder) -> str:
    info = builder.info
    splits = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    subsets = ", ".join(f"{name} {count:,}" for name, count in info.metadata["subsets"].items())
    line = f"{info.full_name}: {splits} faces; of the test faces {subsets}"
    if "protocol" in info.metadata:
        line += f"; votes of {info.metadata['protocol']}"
    return line


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("dataset", "ferplus", f"One of {', '.join(tfds_builders.DATASETS)}.")
    flags.DEFINE_string("manual_dir", None, "Folder of the raw files.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")


def main(arguments: Sequence[str]) -> None:
    if arguments:
        raise app.UsageError(f"takes flags only. Received: {' '.join(arguments)}")
    values = flags.FLAGS
    print(prepare(dataset=values.dataset, manual_dir=values.manual_dir, data_dir=values.data_dir))


if __name__ == "__main__":
    define_flags()
    launch_flags.run(main)
