"""A folder of photos becomes a folder of faces: in parallel, and resumable after a kill."""

import collections
import dataclasses
import functools
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ran_tf import registry
from ran_tf.checks import check_whole
from ran_tf.faces import framing
from ran_tf.faces.detect import create_detector
from ran_tf.faces.journal import open_journal, write_tables
from ran_tf.faces.processes import run_in_processes
from ran_tf.faces.worker import (
    AlignConfig,
    Record,
    crashed,
    create_processor,
    output_id,
    process_in_worker,
    start_worker,
)
from ran_tf.images import photos
from ran_tf.safety import files

_MAX_CHUNK = 64
# What `worker.face_id` puts behind a photo's id.
_FACE_OF = re.compile(r"_face(0|[1-9][0-9]*)\Z")


@dataclasses.dataclass(frozen=True)
class Summary:
    """What became of a folder.

    Attributes:
      images: photos in the folder.
      resumed: those of them that an earlier run had finished.
      faces: rows of landmarks.csv with known landmarks.
      statuses: how many photos of each of `worker.STATUSES`.
      many: photos with more than one face, whatever became of them.
      left_out: how many files of the folder are no photos, by reason.
      seconds: of this run.
    """

    images: int
    resumed: int
    faces: int
    statuses: dict[str, int]
    many: int
    left_out: Mapping[str, int]
    seconds: float

    def __str__(self):
        counts = self.statuses
        rate = (self.images - self.resumed) / max(self.seconds, 1e-9)
        crashed = ""
        if "crashed" in counts:
            crashed = f", {counts['crashed']:,} that crashed the detector"
        return (
            f"{self.images:,} photos ({self.resumed:,} done before): {self.faces:,} faces; "
            f"{counts.get('no_face', 0):,} photos without a face, {self.many:,} with many, "
            f"{counts.get('unreadable', 0):,} unreadable{crashed}; {self.seconds:.1f} s, "
            f"{rate:.1f} photos/s, start included"
        )


def align_folder(
    *,
    input_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    config: AlignConfig,
    processes: int = 1,
    on_photos: Callable[[int, int], None] = lambda count, total: None,
) -> Summary:
    """Aligns every photo below a folder, or finds its landmarks.

    Every file in `output_dir` appears complete or not at all. A journal there lists finished
    photos. After a stop, the same call continues. It also tries photos again that could not be read
    or crashed their process.

    Args:
      input_dir: folder of photos. Its sub-folders are searched, too; see `photos.find_files`.
      output_dir: folder for the faces, in the same sub-folders, and for `landmarks.csv`,
        `report.csv` and `framing.json` (not with `landmarks_only`).
      config: settings of the faces.
      processes: number of worker processes, each with one thread. A photo that crashes a process is
        skipped, with the status "crashed". 1 works in this process, and a crash ends it.
      on_photos: called with the number of photos that a step finished, and the number of all
        photos.

    Returns:
      A `Summary`.

    Raises:
      FileNotFoundError: if the folder, photos in it, or the detector's weights are missing.
      ValueError: if two photos or faces would get the same id, or if `output_dir` was begun with
        other settings or is `input_dir`.
      RuntimeError: if a process dies at each of three photos in a row.

    Example:
      >>> ran_tf.align_folder(input_dir="no", output_dir="out", config=ran_tf.AlignConfig())
      Traceback (most recent call last):
        ...
      FileNotFoundError: ...
    """
    check_whole("processes", processes, low=1)
    started = time.monotonic()
    input_dir, output_dir = (Path(x).expanduser() for x in (input_dir, output_dir))
    paths, left_out = list_photos(input_dir, exclude=output_dir)
    _check_unique(paths, config)
    # So that another version's own lowest score does not pass for this one's.
    config = dataclasses.replace(config, detector=config.detector.resolved())
    if config.detector.name in ("blazeface", "retinaface", "yunet") and processes > 1:
        # Missing or broken weights are told here, before many workers start.
        create_detector(config.detector, threads=1)
    output_dir.mkdir(parents=True, exist_ok=True)
    with open_journal(output_dir, config) as journal:
        _remove_temporary(output_dir)
        done = {x.path for x in journal.records.values() if _is_finished(x, output_dir)}
        resumed = len(done.intersection(paths))
        on_photos(resumed, len(paths))
        work = _chunks([x for x in paths if x not in done], processes=processes)
        try:
            for records in _run(work, config, str(input_dir), str(output_dir), processes):
                journal.append(records)
                on_photos(len(records), len(paths))
        finally:
            _remove_temporary(output_dir)
        records = [journal.records[path] for path in paths]
        write_tables(output_dir, records, landmarks_only=config.landmarks_only)
        if not config.landmarks_only:
            framed = framing.Framing(margin=config.margin, drop=config.drop)
            text = json.dumps(dataclasses.asdict(framed)) + "\n"
            files.write_text(output_dir / framing.FILE, text)
    return Summary(
        images=len(paths),
        resumed=resumed,
        faces=sum(x.landmarks is not None for record in records for x in record.outputs),
        statuses=dict(collections.Counter(record.status for record in records)),
        many=sum(record.faces > 1 for record in records),
        left_out=left_out,
        seconds=time.monotonic() - started,
    )


def list_photos(input_dir: Path, *, exclude: Path) -> tuple[list[str], Mapping[str, int]]:
    """Sorted paths of the photos below a folder, with forward slashes, and what was left out.

    `exclude`, and hidden files and folders, are left out without being counted.

    Raises:
      FileNotFoundError: no such folder, or no photo in it.
      OSError: a folder in it cannot be read.
      ValueError: `exclude` is the folder, or a name is not UTF-8, as ids must be.
    """
    if not input_dir.is_dir():
        raise FileNotFoundError(
            f"`input_dir` must be an existing folder. Received: input_dir={str(input_dir)!r}"
        )
    if exclude.resolve() == input_dir.resolve():
        raise ValueError(
            "`output_dir` must not be the input folder itself. "
            f"Received: output_dir={str(exclude)!r}"
        )
    found = photos.find_files(input_dir, exclude=exclude)
    if not found.files:
        rest = photos.describe_left_out(found.left_out)
        raise FileNotFoundError(
            f"`input_dir` must hold photos. Received: input_dir={str(input_dir)!r}"
            + (f" with {rest}" if rest else "")
        )
    paths = sorted(path.relative_to(input_dir).as_posix() for path in found.files)
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                "the names of files in `input_dir` must be UTF-8, because they become ids: "
                f"rename the file. Received: {path!a}"
            ) from error
    return paths, found.left_out


def _check_unique(paths: list[str], config: AlignConfig) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        name = output_id(path, config)
        if name in seen:
            what = "stem" if config.landmarks_only else "path without ending"
            raise ValueError(
                f"`input_dir` must not hold two photos with the same {what}, because it is their "
                f"id: rename one, or align the sub-folders one by one. Received: {seen[name]}, "
                f"{path}"
            )
        seen[name] = path
    if config.many_faces == "all":
        _check_faces_apart(seen)


def _check_faces_apart(seen: dict[str, str]) -> None:
    """Refuses a photo whose id a face of another photo may get: one would be written over it."""
    for name, path in seen.items():
        other = seen.get(_FACE_OF.sub("", name)) if _FACE_OF.search(name) else None
        if other is not None:
            raise ValueError(
                "`input_dir` must not hold a photo with the name that --many_faces=all gives to "
                "another photo's face: rename one. If an earlier run wrote it, move the faces of "
                f"that run to another folder. Received: {other}, {path}"
            )


def _chunks(paths: list[str], *, processes: int) -> Iterator[list[str]]:
    """Splits work into pieces: few enough to be fast, enough for all processes to share."""
    size = min(_MAX_CHUNK, max(1, -(-len(paths) // (4 * processes))))
    return (paths[i : i + size] for i in range(0, len(paths), size))


def _run(work, config, input_dir, output_dir, processes) -> Iterator[list[Record]]:
    """Yields the records of each piece of work as it is finished."""
    work = list(work)
    if processes == 1 and work:
        process = create_processor(config, input_dir=input_dir, output_dir=output_dir)
        yield from map(process, work)
    elif work:
        yield from run_in_processes(
            work,
            start=functools.partial(
                start_worker,
                config,
                input_dir,
                output_dir,
                registry.DETECTORS.theirs.get(config.detector.name),
            ),
            task=process_in_worker,
            lost=crashed,
            processes=processes,
        )


def _is_finished(record: Record, output_dir: Path) -> bool:
    written = (output.path for output in record.outputs if output.path)
    return record.status not in ("unreadable", "crashed") and all(
        (output_dir / x).exists() for x in written
    )


def _remove_temporary(output_dir: Path) -> None:
    """Removes what killed processes were writing."""
    for folder in {partial.parent for partial in output_dir.rglob(".partial-*")}:
        files.remove_partial(folder)
