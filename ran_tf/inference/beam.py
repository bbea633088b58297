"""Photos of any file system to rows, as an Apache Beam pipeline. Needs the extra `beam`.

Beam's `RunInference` loads the network once a worker process, and makes batches; the network and
the reading are those of `predict_rows`, so that answers are those of `ran_tf.predict_files`.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow
from apache_beam.io import fileio, filesystem, filesystems
from apache_beam.ml.inference import base
from apache_beam.options.pipeline_options import PipelineOptions

from ran_tf.faces.detect import DEFAULT, DetectorConfig
from ran_tf.images import decoding
from ran_tf.inference import row_files
from ran_tf.inference.rows import predict_rows
from ran_tf.weights import sources

Photo = tuple[str, bytes]

_FAILURES = "failures"
_FAILURE_SCHEMA = pyarrow.schema([("path", pyarrow.string()), ("error", pyarrow.string())])


class PhotoHandler(base.ModelHandler[Photo, tuple[str, list[dict]], Any]):
    """For `RunInference`: (path, bytes of a photo's file) to (path, its rows).

    Args:
      model: as of `ran_tf.Predictor`.
      align: the images are photos, of which all faces are found.
      detector: that finds them, its name or a `ran_tf.DetectorConfig`.
      batch_size: photos, and faces, at once.

    Attributes:
      columns: of the rows, see `row_files.column_types`.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        *,
        align: bool = True,
        detector: str | DetectorConfig = DEFAULT,
        batch_size: int = 32,
    ):
        card = sources.read_card(model)
        if card is None:
            raise ValueError(
                f"`model` must be a model that predicts. Received: model={str(model)!r}"
            )
        # Of the rows; known before a network is loaded.
        self.columns = row_files.column_types(card, found=align)
        self._model, self._align = str(model), align
        self._options: dict[str, Any] = {"detector": detector, "batch_size": batch_size}

    def load_model(self) -> Any:
        import ran_tf

        return ran_tf.Predictor(self._model, **self._options)

    def run_inference(
        self,
        batch: Sequence[Photo],
        model: Any,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[tuple[str, list[dict]]]:
        answers = predict_rows(model, [data for _, data in batch], align=self._align)
        yield from zip((path for path, _ in batch), answers, strict=True)

    def batch_elements_kwargs(self) -> dict[str, Any]:
        return {"min_batch_size": 1, "max_batch_size": self._options["batch_size"]}

    def get_num_bytes(self, batch: Sequence[Photo]) -> int:
        return sum(len(data) for _, data in batch)

    def share_model_across_processes(self) -> bool:
        return False


def run(pattern: str, output: str, *, handler: PhotoHandler, options: Sequence[str] = ()) -> None:
    """Classifies photos of any file system that Beam reads.

    Args:
      pattern: of the photos; `**` is any depth.
      output: rows are written to OUTPUT-00000-of-00001.parquet and so on, and what could not be
        answered for, path and reason, to OUTPUT-failures-*.parquet. Both appear when all is done.
      handler: that answers.
      options: of Beam, such as "--runner=DirectRunner".

    Raises:
      FileNotFoundError: if no file matches.
    """
    if not filesystems.FileSystems.match([pattern], limits=[1])[0].metadata_list:
        raise FileNotFoundError(f"`input` must match files. Received: input={pattern!r}")
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        predict_photos(pipeline, pattern, output, handler=handler)


def predict_photos(
    pipeline: beam.Pipeline, pattern: str, output: str, *, handler: PhotoHandler
) -> None:
    """Adds to a pipeline what `run` does; its arguments are those."""
    columns = handler.columns
    photos = (
        pipeline
        | "Find" >> fileio.MatchFiles(pattern)
        # Each once, whatever has happened before; and spread over the workers.
        | beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read()).with_outputs(_FAILURES, main="photos")
    )
    answers, broken = (
        photos.photos | "Predict" >> base.RunInference(handler).with_exception_handling()
    )
    rows = answers | "Split" >> beam.ParDo(_Split(list(columns))).with_outputs(
        _FAILURES, main="rows"
    )
    failures = (
        photos[_FAILURES],
        rows[_FAILURES],
        broken.failed_inferences | "Name" >> beam.FlatMap(_name_batch),
    ) | beam.Flatten()
    schema = row_files.parquet_schema(columns)
    _ = rows.rows | "Write" >> beam.io.WriteToParquet(
        output, schema, codec="zstd", file_name_suffix=".parquet"
    )
    _ = failures | "Write failures" >> beam.io.WriteToParquet(
        f"{output}-failures", _FAILURE_SCHEMA, codec="zstd", file_name_suffix=".parquet"
    )


class _Read(beam.DoFn):
    """What was found to (path, bytes)."""

    def process(self, found: Any) -> Iterator[Any]:
        path = found.path
        try:
            if found.size_in_bytes > decoding.MAX_BYTES:
                raise ValueError(
                    f"an image file must have at most {decoding.MAX_BYTES:,} bytes. "
                    f"Received: {found.size_in_bytes:,} bytes"
                )
            plain = filesystem.CompressionTypes.UNCOMPRESSED
            with filesystems.FileSystems.open(path, compression_type=plain) as file:
                yield path, file.read()
        except Exception as error:  # each file system has its own
            yield _failure(path, getattr(error, "strerror", None) or str(error))


class _Split(beam.DoFn):
    """Rows of a photo to a table's rows, and to what could not be answered."""

    def __init__(self, columns: list[str]):
        self._columns = columns

    def process(self, answer: tuple[str, list[dict]]) -> Iterator[Any]:
        path, rows = answer
        for row in rows:
            if "error" in row:
                yield _failure(path, row["error"])
            else:
                flat = row_files.flatten({"path": path, **row}, columns=self._columns)
                yield {name: flat.get(name) for name in self._columns}


def _failure(path: str, error: str) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(_FAILURES, {"path": path, "error": error})


def _name_batch(failed: tuple) -> Iterable[dict]:
    """What a worker could not do at all: a batch, and why."""
    batch, error = failed[0], failed[1]
    for path, _ in batch:
        yield {"path": path, "error": f"the worker failed on it or its batch: {error[1]!r}"}
