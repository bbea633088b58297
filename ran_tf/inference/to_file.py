"""Predictions of many files in one file, which appears whole; a run that was stopped goes on."""

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ran_tf import checks, settings
from ran_tf.config import VideoConfig
from ran_tf.inference import row_files
from ran_tf.inference.files import predict_each
from ran_tf.inference.progress import Counter, Progress
from ran_tf.safety import files
from ran_tf.safety.journal import Journal, open_journal

# A file's rows are in the journal line by line, and behind them a line that has only this key: of a
# long video they need not be held together.
_DONE = "done"


def predict_to_file(
    predictor: Any,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    form: str | None = None,
    resume: bool = False,
    align: bool = False,
    every: float = VideoConfig.every,
    smooth: float = VideoConfig.smooth,
    annotate: str | os.PathLike | None = None,
    timeline: str | os.PathLike | None = None,
    batch_size: int = 32,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Classifies images and videos into a file of rows.

    `out` appears when it is complete. Until then, `OUT.journal` beside it keeps finished rows.

    Args:
      predictor: a `ran_tf.Predictor`.
      paths: files, as `find_files` finds them.
      out: file to write. It must not exist, because nothing is overwritten.
      form: "csv", "json" or "parquet" (extra `parquet`); the ending of `out` when None.
      resume: continue a run that was stopped. Finished files, also those that failed, are not done
        again. Starts a run if there is none, and does nothing if `out` exists.
      align, every, smooth, annotate, timeline, batch_size: see `predict_files`.
      on_progress: called after each file.

    Returns:
      A `Progress`; its `total` is 0 if `out` existed.

    Raises:
      FileExistsError: `out` or a stopped run of it exists, and `resume` is False.
      RuntimeError: PyArrow is needed and not installed.
      ValueError: for another ending, or if the stopped run had other settings.

    Example:
      >>> import pathlib
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> done = ran_tf.predict_to_file(predictor, ["no.png"], "faces.csv")
      >>> done.photos, done.faces, done.failed
      (1, 0, 1)
      >>> pathlib.Path("faces.csv").read_text().split(",")[-1]
      'No such file or directory\\n'
    """
    out = pathlib.Path(out).expanduser()
    form = out.suffix[1:].lower() if form is None else form
    check_output(out, form=form, resume=resume)
    if out.exists() and not journal_of(out).exists():
        return Counter().now()
    columns = row_files.column_types(predictor.card, found=align)
    video = VideoConfig(every=every, smooth=smooth)
    asked = {
        "model": str(predictor.source),
        "card": predictor.card,
        "detector": predictor.detector if align else None,
        "align": align,
        "video": video,
        "annotate": None if annotate is None else str(annotate),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with open_journal(
        journal_of(out),
        json.loads(json.dumps(settings.fingerprint(asked))),
        argument="out",
        value=str(out),
        other="another file",
    ) as journal:
        if not (resume or journal.is_new):
            raise FileExistsError(
                f"{journal.path} holds the results of a stopped run. Continue that run with "
                "resume=True (--resume), or delete the file to start again. Received: "
                f"out={str(out)!r}"
            )
        counter = Counter(on_progress=on_progress)
        done = _take_up(journal, counter)
        taken = [] if annotate is None else _annotated(journal)
        waiting = [path for path in paths if str(pathlib.Path(path).expanduser()) not in done]
        counter.total = len(done) + len(waiting)
        try:
            for path, rows in predict_each(
                predictor,
                waiting,
                align=align,
                config=video,
                annotate=annotate,
                timeline=timeline,
                batch_size=batch_size,
                taken=taken,
            ):
                _keep(journal, path, counter.count(rows))
            _write(out, journal, form=form, columns=columns)
        except BaseException as stop:
            stop.add_note(
                f"{counter.now().photos:,} of {counter.total:,} are kept in {journal.path}: the "
                "same command with --resume (resume=True) continues"
            )
            raise
        journal.path.unlink()
    return counter.now()


def journal_of(out: pathlib.Path) -> pathlib.Path:
    """Where a run that writes a file keeps what is done."""
    return out.with_name(f"{out.name}.journal")


def check_output(out: str | os.PathLike, *, form: str, resume: bool) -> None:
    """Raises, before any work, what `predict_to_file` does of its file."""
    out = pathlib.Path(out).expanduser()
    if form not in row_files.FORMS:
        endings = ", ".join(f".{form}" for form in row_files.FORMS)
        raise checks.InvalidArgument("out", f"a file that ends with one of {endings}", str(out))
    if form == "parquet":
        row_files.check_parquet()
    files.check_folder("out", out.parent)
    if out.is_dir() or (out.exists() and not out.is_file()):
        raise checks.InvalidArgument("out", "a file", str(out))
    if out.exists() and not resume:
        raise FileExistsError(
            f"{out} exists already and is not overwritten: delete it, or name another file. "
            f"Received: out={str(out)!r}"
        )


def _take_up(journal: Journal, counter: Counter) -> set[str]:
    """Paths that are done, which are counted; rows of what was being done are forgotten."""
    done: set[str] = set()
    first: int | None = None  # where the rows begin of the file that is not done
    faces, failed = 0, False
    for record, start in journal.read():
        if record.keys() == {_DONE}:
            done.add(record[_DONE])
            counter.add(faces=faces, failed=failed, resumed=True)
            first, faces, failed = None, 0, False
        else:
            first = start if first is None else first
            faces += "label" in record
            failed |= "error" in record
    if first is not None:
        journal.cut(first)
    return done


def _annotated(journal: Journal) -> list[str]:
    return [row["annotated"] for row, _ in journal.read() if "annotated" in row]


def _keep(journal: Journal, path: str, rows: Iterable[dict]) -> None:
    """A photo in one write; a video a row at a time, as its frames are read."""
    kept: list[dict] = []
    for row in rows:
        kept.append(row)
        if "seconds" in row:
            journal.append(kept)
            kept = []
    journal.append([*kept, {_DONE: path}])


def _rows(journal: Journal) -> Iterator[dict]:
    return (row for row, _ in journal.read() if row.keys() != {_DONE})


def _write(out: pathlib.Path, journal: Journal, *, form: str, columns: dict[str, type]) -> None:
    with files.atomic_path(out) as partial:
        if form == "parquet":
            row_files.write_parquet(partial, _rows(journal), columns=columns)
            return
        # File names that are no valid UTF-8 come out as they went in.
        with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            if form == "csv":
                row_files.write_csv(file, _rows(journal), columns=columns)
            else:
                row_files.write_json(file, _rows(journal))
