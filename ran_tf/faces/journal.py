"""The journal that makes a run resumable, and the tables made from it."""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from ran_tf import settings, vocabulary
from ran_tf.faces.worker import AlignConfig, Output, Record
from ran_tf.safety import journal
from ran_tf.safety.escaping import for_csv
from ran_tf.safety.files import atomic_path

JOURNAL = "align_journal.jsonl"
LANDMARKS = "landmarks.csv"
REPORT = "report.csv"

LANDMARK_COLUMNS = tuple(f"{name}_{axis}" for name in vocabulary.LANDMARKS for axis in "xy")


class Journal:
    """Records of a run, in a file.

    Attributes:
      records: what earlier runs, and `append`, have put in; the last record of a path counts.
    """

    def __init__(self, kept: journal.Journal, records: dict[str, Record]):
        self.records = records
        self._kept = kept

    def append(self, records: Iterable[Record]) -> None:
        """Adds records to the file in one write."""
        records = list(records)
        self._kept.append(map(dataclasses.asdict, records))
        self.records.update({record.path: record for record in records})


@contextlib.contextmanager
def open_journal(output_dir: Path, config: AlignConfig) -> Iterator[Journal]:
    """Opens the journal of an output folder, for one process at a time.

    Raises:
      ValueError: the folder was begun with other settings, its journal is not one, or another
        process is writing to it.
    """
    with journal.open_journal(
        output_dir / JOURNAL,
        settings.fingerprint(config),
        argument="output_dir",
        value=str(output_dir),
        other="another folder",
        name=_flag,
    ) as kept:
        records = [kept.interpret(_record, values) for values, _ in kept.read()]
        yield Journal(kept, {record.path: record for record in records})


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
