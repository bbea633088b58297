"""Checkpoints: folders that appear whole, with checksums, and are read only if they still are.

checkpoints/step-*/    state.npz: every variable of model, EMA, optimizer and dropout, by name, as
                       any backend reads them; progress.json: step, epoch, sums of the running
                       epoch; the run's identity; metrics.csv and the files of the kept weights

The metrics and kept weights outside are copies of the newest checkpoint's, and are made again from
it when a run is resumed: whatever a kill left, they then fit each other and the state.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import keras
import numpy as np

from ran_tf import settings
from ran_tf.safety import files
from ran_tf.training import faults, manifest
from ran_tf.training.engine import Engine
from ran_tf.weights import records

_CHECKPOINTS, _IDENTITY = "checkpoints", "identity.json"
_STATE, _PROGRESS = "state.npz", "progress.json"
_KEEP = 2


class BrokenCheckpointError(RuntimeError):
    """A work directory holds a run but no checkpoint that is whole."""


class OtherRunError(ValueError):
    """A work directory holds a run of another configuration.

    Attributes:
      differences: by dotted name in `TrainConfig` ("dataset", "labels", "train_faces" and
        "train_data" beside it): what the checkpoint has and what was asked for.
    """

    def __init__(self, workdir, differences: dict[str, tuple], *, name: Callable = str):
        self.workdir, self.differences = workdir, differences
        said = settings.describe(differences, name=name)
        super().__init__(
            f"`workdir` holds another run: {said}. Go on with its own settings, or give this run "
            f"another directory (init_weights can start it from that one). "
            f"Received: workdir={str(workdir)!r}"
        )

    def renamed(self, name: Callable[[str], str]) -> "OtherRunError":
        """The same error with other names for the settings."""
        return OtherRunError(self.workdir, self.differences, name=name)


@dataclasses.dataclass
class Progress:
    """Where a run is.

    Attributes:
      step: steps done since training began.
      epoch: epochs that are finished, validation included.
      sums: f64, of `objective.sum_names`, since the running epoch began.
    """

    sums: np.ndarray
    step: int = 0
    epoch: int = 0


@dataclasses.dataclass(frozen=True)
class Store:
    """The checkpoints of a run.

    Attributes:
      workdir: of the run.
      engine: has the state, and says whether this process writes.
      progress: where the run is.
      identity: what a run that goes on must be equal in: a `settings.fingerprint`.
      check: raises an OSError if the work directory is gone.
    """

    workdir: pathlib.Path
    engine: Engine
    progress: Progress
    identity: dict
    check: Callable[[], None] = lambda: None

    @property
    def folder(self) -> pathlib.Path:
        return self.workdir / _CHECKPOINTS


def save(
    store: Store,
    *,
    row: dict | None = None,
    best: Callable[[pathlib.Path], None] | None = None,
) -> None:
    """Writes a checkpoint and what is outside of it; keeps the last two.

    Args:
      store: the run's.
      row: of an epoch that is finished now, for metrics.csv.
      best: if that epoch is the best, writes its files into a folder (`records.save_best`).

    Raises:
      OSError: if it cannot be written; the checkpoints before are whole.
    """
    if not store.engine.writes:
        return
    store.check()
    target = store.folder / _folder_name(store.progress)
    if target.exists():  # asked to stop right after a checkpoint
        return
    with (
        faults.writing_explained("a checkpoint", store.folder),
        files.partial_folder(store.folder) as partial,
    ):
        _write_state(store, partial)
        (partial / _IDENTITY).write_text(json.dumps(store.identity, indent=2), encoding="utf-8")
        before = _step_folders(store.folder)
        for name in records.RECORDS:
            if before and (before[0] / name).exists():
                shutil.copyfile(before[0] / name, partial / name)
        if row is not None:
            records.add_row(partial / records.METRICS, row)
        if best is not None:
            best(partial)
        manifest.write(partial)
        partial.rename(target)
        manifest.sync(store.folder)
    with faults.writing_explained("metrics and the kept weights", store.workdir):
        records.publish(target, store.workdir)
        for old in _step_folders(store.folder)[_KEEP:]:
            _remove(old)


def restore(store: Store, *, say: Callable[[str], None]) -> bool:
    """Goes back to the newest whole checkpoint; returns whether there was one.

    Raises:
      BrokenCheckpointError: if there was a run, and none of its checkpoints is whole.
      OtherRunError: if it was a run of another configuration.
    """
    if store.engine.writes:
        _remove_leftovers(store)
    broken, whole = {}, None
    for folder in _step_folders(store.folder):
        try:
            manifest.check(folder, needed=(_IDENTITY, _STATE, _PROGRESS))
        except manifest.BrokenFolderError as error:
            broken[folder] = error
        else:
            whole = folder
            break
    if whole is None:
        _check_empty(store, broken)
        return False
    there = json.loads((whole / _IDENTITY).read_text(encoding="utf-8"))
    _check_identity(store, there)
    if store.identity.get("init_weights") is None and "init_weights" in there:
        # Not named again: the next checkpoint must still say where this run began.
        store.identity["init_weights"] = there["init_weights"]
    _read_state(store, whole)
    if not store.engine.writes:
        return True
    for folder, error in broken.items():
        say(f"{folder} is broken ({error}) and was removed: going back to {whole.name}")
        _remove(folder)
    with faults.writing_explained("metrics and the kept weights", store.workdir):
        records.publish(whole, store.workdir)
    return True


def _write_state(store: Store, folder: pathlib.Path) -> None:
    store.engine.sync()
    variables = store.engine.state.variables()
    arrays = {name: keras.ops.convert_to_numpy(v.value) for name, v in variables.items()}
    np.savez(folder / _STATE, **arrays)
    progress = {**dataclasses.asdict(store.progress), "sums": store.progress.sums.tolist()}
    (folder / _PROGRESS).write_text(json.dumps(progress), encoding="utf-8")


def _read_state(store: Store, folder: pathlib.Path) -> None:
    variables = store.engine.state.variables()
    with np.load(folder / _STATE, allow_pickle=False) as arrays:
        here = {name: tuple(variable.shape) for name, variable in variables.items()}
        there = {name: arrays[name].shape for name in arrays}
        if here != there:
            raise BrokenCheckpointError(
                f"{folder} was written by another version of ran_tf: its variables differ "
                f"({len(there)} there, {len(here)} here). Give this run another directory."
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
    store.engine.restored()
    progress = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
    store.progress.step, store.progress.epoch = progress["step"], progress["epoch"]
    store.progress.sums = np.asarray(progress["sums"], np.float64)


def _check_empty(store: Store, broken: dict) -> None:
    """A run is begun only where there was none: it would write over what is left of it."""
    found = [f"{folder.name}: {error}" for folder, error in broken.items()]
    found += [path.name for path in sorted(store.folder.glob("ckpt-*.index"))]  # of old versions
    found += [name for name in records.RECORDS if (store.workdir / name).exists()]
    if found:
        raise BrokenCheckpointError(
            f"`workdir` holds a run but no whole checkpoint to go on from ({'; '.join(found)}). "
            "Give this run another directory, or delete that one to start again. Received: "
            f"workdir={str(store.workdir)!r}"
        )


def _check_identity(store: Store, there: dict) -> None:
    differences = settings.differences(there, store.identity)
    if store.identity.get("init_weights") is None:
        # Not naming weights to start from contradicts nothing: they are not read again.
        differences.pop("init_weights", None)
    if differences:
        raise OtherRunError(store.workdir, differences)


def _folder_name(progress: Progress) -> str:
    """By step and not by time, which may be set back; fixed width, so that names sort."""
    return f"step-{progress.step:09d}-epoch-{progress.epoch:05d}"


def _step_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def _remove(folder: pathlib.Path) -> None:
    """Away at once, so that a kill leaves no half of it under its name."""
    away = folder.with_name(f".partial-{folder.name}")
    folder.rename(away)
    _delete(away)


def _delete(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _remove_leftovers(store: Store) -> None:
    """What a killed run was writing."""
    for folder in (store.workdir, store.folder):
        for path in folder.glob(".partial-*"):
            _delete(path)
