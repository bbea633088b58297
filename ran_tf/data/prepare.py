"""Builds the datasets of `tfds_builders`, once; `ran_tf.launch.prepare` is the command."""

import contextlib
import dataclasses
import fcntl
import io
import os
import pathlib
import shutil
import sys
import time

import tensorflow_datasets as tfds
from rich import console, progress
from tensorflow_datasets.core.utils import file_utils

import tfds_builders
from ran_tf.config import DataConfig
from ran_tf.faces import framing
from ran_tf.safety.escaping import for_terminal
from tfds_builders.reading import landmarks as landmarks_lib


def prepare(
    dataset: str,
    *,
    manual_dir: str | None = None,
    data_dir: str | None = None,
    landmarks: str | None = None,
) -> str:
    """Builds a dataset, if it is not built yet. Waits if another process is building it.

    Args:
      dataset: a name in `tfds_builders.DATASETS`, or the name of your own TFDS builder, whose
        module is imported. A config may follow after a slash.
      manual_dir: folder of the raw files, for datasets that need some.
      data_dir: TFDS directory to build in; TFDS' default when None.
      landmarks: CSV of five landmarks a face, as `ran_tf.launch.align` writes it.

    Returns:
      One line with the faces of each split, and the folder of the dataset.

    Raises:
      ValueError: no such dataset or config, raw files that are not as published, landmarks that
        do not fit the faces, or a dataset that is built already with other landmarks.
      FileNotFoundError: raw files that are missing.

    Example:
      >>> said = ran_tf.prepare("synthetic_faces")
      >>> said.partition(":")[0]
      'synthetic_faces/1.0.0'
    """
    builder = _open_builder(dataset, data_dir=data_dir)
    if landmarks:
        _set_landmarks(builder, landmarks)
    if _is_built(builder):
        built = f"Already built in {builder.data_dir}: delete that folder to build it again"
        return f"{_describe(builder)}. {built}"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        _check_manual_dir(builder, manual_dir)
    start = time.monotonic()
    beside = [pathlib.Path(landmarks).parent] if landmarks else []
    framed = framing.find(*beside, *([manual_dir] if manual_dir else []))
    if framed and builder.info.metadata is not None:
        builder.info.metadata["framing"] = dataclasses.asdict(framed)
    with _alone(builder):
        meanwhile = _is_built(builder)
        if not meanwhile:
            with _progress_bar() as builder.track:
                builder.download_and_prepare(
                    download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
                )
    if meanwhile:  # by another process, perhaps with other landmarks
        return prepare(
            dataset=dataset, manual_dir=manual_dir, data_dir=data_dir, landmarks=landmarks
        )
    seconds = time.monotonic() - start
    return f"{_describe(builder)}. Built in {seconds:.0f} s in {builder.data_dir}"


def prepare_if_drawn(
    data: DataConfig, *, turn: contextlib.AbstractContextManager | None = None
) -> None:
    """Prepares faces that are drawn, not downloaded, on first use, and says so.

    Args:
      data: says which dataset.
      turn: entered for it, and only then, such as `workers.chief_first`, where workers wait.
    """
    if data.name == "synthetic_faces":
        with turn or contextlib.nullcontext():
            if not _is_built(_open_builder(data.name, data_dir=data.data_dir)):
                print(for_terminal(prepare(dataset=data.name, data_dir=data.data_dir)))


def _open_builder(dataset: str, *, data_dir: str | None) -> tfds.core.DatasetBuilder:
    name, _, config = dataset.partition("/")
    made = tfds_builders.DATASETS.get(name) or _users_builder(name)
    if made is None:
        raise ValueError(
            f"`dataset` must be one of {', '.join(tfds_builders.DATASETS)}, or your own TFDS "
            "builder: import its module (commands: --import=MODULE). Received: "
            f"dataset={dataset!r}"
        )
    if config and made.get_builder_config(config) is None:
        configs = [config.name for config in made.BUILDER_CONFIGS]
        raise ValueError(
            f"`dataset`: {name} has the configs {', '.join(configs) or 'none'}. "
            f"Received: dataset={dataset!r}"
        )
    data_dir = data_dir and os.path.expanduser(data_dir)
    return tfds.builder(dataset, data_dir=data_dir, try_gcs=False)


def _users_builder(name: str) -> type[tfds.core.DatasetBuilder] | None:
    try:
        found = tfds.core.registered.imported_builder_cls(name)
    except tfds.core.DatasetNotFoundError:
        return None
    # Those that TFDS brings have other features.
    return None if found.__module__.startswith("tensorflow_datasets.") else found


def _is_built(builder: tfds.core.DatasetBuilder) -> bool:
    # Not `builder.is_prepared()`: it looks by pattern, and brackets of a path mean something there.
    return all(
        (builder.data_path / name).exists() for name in ("dataset_info.json", "features.json")
    )


@contextlib.contextmanager
def _alone(builder: tfds.core.DatasetBuilder):
    """Waits until no other `prepare` builds the dataset, and removes what a killed one has left.

    TFDS writes to a folder beside the dataset's, of a name that it draws. Here the name is fixed:
    who holds the lock, which ends with its process, knows the folder for a dead one's.
    """
    if "://" in os.fspath(builder.data_path):  # a bucket has no locks
        yield
        return
    there = pathlib.Path(builder.data_path)
    unfinished = there.with_name(f"incomplete.prepare_{there.name}")
    with _hold(there.with_name(f".{there.name}.lock"), dataset=builder.info.full_name):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        named_by_tfds = file_utils._get_incomplete_dir
        file_utils._get_incomplete_dir = lambda name: f"{unfinished}/"
        try:
            yield
        finally:
            file_utils._get_incomplete_dir = named_by_tfds


@contextlib.contextmanager
def _hold(path: pathlib.Path, *, dataset: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits = f"{dataset} is being built by another process: waiting for it"
            print(for_terminal(waits), flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _set_landmarks(builder: tfds.core.DatasetBuilder, path: str) -> None:
    takers = [name for name, made in tfds_builders.DATASETS.items() if hasattr(made, "landmarks")]
    if builder.name not in takers:
        raise ValueError(
            f"`landmarks` must be left out for {builder.name}, which has its own landmarks; "
            f"{', '.join(takers)} accept a file. Received: landmarks={path!r}"
        )
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            "`landmarks` must be a CSV file; `python -m ran_tf.launch.align --landmarks_only` "
            f"writes it. Received: landmarks={path!r}"
        )
    built_with = (builder.info.metadata or {}).get("landmarks", {}).get("sha256")
    if _is_built(builder) and built_with != landmarks_lib.checksum(file):
        raise ValueError(
            f"`landmarks`: {builder.info.full_name} is already built in {builder.data_dir}, "
            f"{'with other landmarks' if built_with else 'without landmarks'}. Delete it, or give "
            f"another data_dir. Received: landmarks={path!r}"
        )
    builder.landmarks = file


def _check_manual_dir(builder: tfds.core.DatasetBuilder, manual_dir: str | None) -> None:
    wanted = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
    if not manual_dir:
        raise ValueError(
            f"`manual_dir` is needed to build {builder.name}: {wanted} "
            f"Received: manual_dir={manual_dir!r}"
        )
    folder = pathlib.Path(manual_dir).expanduser()
    if not folder.is_dir() or not any(folder.iterdir()):
        state = "is empty" if folder.is_dir() else "is not a folder"
        raise FileNotFoundError(
            f"`manual_dir` {state}: {wanted} Received: manual_dir={manual_dir!r}"
        )


@contextlib.contextmanager
def _progress_bar():
    """Yields a `track(sequence, description)` that draws a bar, in place of TFDS' own output."""
    bar = progress.Progress(
        progress.TextColumn("{task.description:>10}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console.Console(file=sys.stdout, markup=False),
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
    info, metadata = builder.info, builder.info.metadata or {}
    splits = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    subsets = ", ".join(f"{name} {count:,}" for name, count in metadata.get("subsets", {}).items())
    line = f"{info.full_name}: {splits} faces" + (f"; among them {subsets}" * bool(subsets))
    if "layout" in metadata:
        line += f"; from {metadata['layout']}"
    if metadata.get("protocol"):
        line += f"; votes of {metadata['protocol']}"
    if "landmarks" in metadata:
        faces = metadata["landmarks"]
        line += (
            f"; landmarks: {faces['known']:,} known, {faces['not_found']:,} not found, "
            f"{faces['no_row']:,} without a row"
        )
    if "framing" in metadata:
        line += "; cut with margin {margin:g} and drop {drop:g}".format(**metadata["framing"])
    return line
