"""The journal that makes a run resumable, and the tables made from it."""

import contextlib
import csv
import dataclasses
import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ran_tf import settings, vocabulary
from ran_tf.faces.worker import AlignConfig, Output, Record
from ran_tf.safety.escaping import for_csv
from ran_tf.safety.files import atomic_path

JOURNAL = "align_journal.jsonl"
LANDMARKS = "landmarks.csv"
REPORT = "report.csv"

LANDMARK_COLUMNS = tuple(f"{name}_{axis}" for name in vocabulary.LANDMARKS for axis in "xy")


class Journal:
    """Records of a run, in a file of one JSON object a line; the first line holds the settings.

    Attributes:
      records: what earlier runs, and `append`, have put in; the last record of a path counts.
    """

    def __init__(self, file, records: dict[str, Record]):
        self.records = records
        self._file = file

    def append(self, records: Iterable[Record]) -> None:
        """Adds records to the file in one write."""
        records = list(records)
        self._file.write("".join(json.dumps(dataclasses.asdict(x)) + "\n" for x in records))
        self._file.flush()
        self.records.update({record.path: record for record in records})


@contextlib.contextmanager
def open_journal(output_dir: Path, config: AlignConfig) -> Iterator[Journal]:
    """Opens the journal of an output folder, for one process at a time.

    Raises:
      ValueError: the folder was begun with other settings, its journal is not one, or another
        process is writing to it.
    """
    path = output_dir / JOURNAL
    # ASCII, because JSON then carries file names that are no valid UTF-8.
    with path.open("a+", encoding="ascii") as file:
        try:
            # Released by the system when the process ends, in whatever way.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                "`output_dir` must not be in use by another run. "
                f"Received: output_dir={str(output_dir)!r}"
            ) from None
        asked = settings.fingerprint(config)
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # A killed run left part of a line.
            os.truncate(path, len(whole))
        lines = whole.splitlines()
        if len(lines) < 2:  # Nothing is done yet: settings may change.
            file.truncate(0)
            file.write(json.dumps(asked) + "\n")
            file.flush()
            yield Journal(file, {})
            return
        try:
            earlier = settings.fingerprint(dict(json.loads(lines[0])))
            records = [_record(json.loads(line)) for line in lines[1:]]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a journal of this version: delete it to begin anew. "
                f"Received: {error}"
            ) from error
        differences = settings.differences(earlier, asked)
        if differences:
            before, now = (
                ", ".join(f"{_flag(name)}={pair[i]!r}" for name, pair in differences.items())
                for i in range(2)
            )
            raise ValueError(
                f"`output_dir` was begun with other settings ({before}): use those, or another "
                f"folder, or delete {path} to begin anew. Received: {now}"
            )
        yield Journal(file, {record.path: record for record in records})


def write_tables(output_dir: Path, records: list[Record], *, landmarks_only: bool) -> None:
    """Writes landmarks.csv and report.csv; see `ran_tf.launch.align` for their columns."""
    rows = []
    for output in (output for record in records for output in record.outputs):
        points = output.landmarks or [[float("nan")] * 2] * 5
        keys = [for_csv(output.id)]
        keys += [] if landmarks_only else [for_csv(output.path, path=True)]
        rows.append(keys + [f"{value:.5f}" for point in points for value in point])
    keys = ["id"] if landmarks_only else ["id", "path"]
    _write_csv(output_dir / LANDMARKS, [*keys, *LANDMARK_COLUMNS], rows)
    _write_csv(
        output_dir / REPORT,
        ["path", "status", "faces", "written", "note"],
        [
            [for_csv(x.path, path=True), x.status, x.faces, len(x.outputs), for_csv(x.note)]
            for x in records
        ],
    )


def _write_csv(path: Path, header, rows) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    # File names that are no valid UTF-8 come out as they went in.
    with atomic_path(path) as partial:
        partial.write_bytes(text.getvalue().encode("utf-8", errors="surrogateescape"))


def _record(values: dict) -> Record:
    outputs = tuple(Output(**output) for output in values.pop("outputs"))
    return Record(**values, outputs=outputs)


def _flag(setting: str) -> str:
    """The flag of `ran_tf.launch.align` that gives a setting."""
    return "detector" if setting == "detector.name" else setting.removeprefix("detector.")
