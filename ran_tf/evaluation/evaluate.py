"""`ran_tf.evaluate`: a model on faces, in one pass."""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from ran_tf.data import damage
from ran_tf.data.share import Share
from ran_tf.evaluation import explain, joined, predictions
from ran_tf.evaluation import report as reports
from ran_tf.evaluation import split as splits
from ran_tf.evaluation.adapter import Adapter
from ran_tf.evaluation.exposure import listed_shares
from ran_tf.evaluation.results import Report
from ran_tf.inference import keras_engine, runner
from ran_tf.inference.classifier import Classifier
from ran_tf.inference.predictor import Predictor
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.training import workers


def evaluate(
    model: RegionAttentionNetwork | Predictor | Adapter | str | os.PathLike,
    data: str | tf.data.Dataset | Iterable[tuple] = "test",
    *,
    baseline: RegionAttentionNetwork | Predictor | Adapter | str | os.PathLike | None = None,
    flip_average: bool = False,
    dataset: str | None = None,
    data_dir: str | None = None,
    batch_size: int = 64,
    strategy: Any = None,
    on_faces: Callable[[str, int, float | None], None] = lambda name, count, total: None,
    command: str = "ran_tf.evaluate",
) -> Report:
    """Evaluates a model on faces, by subset.

    A network sees the faces that `data` gives, as in `fit`. For every other model the faces are
    read again. Its card then says their size, their colour and the regions.

    Args:
      model: a `RegionAttentionNetwork`, a `Predictor`, an `Adapter` of another model, or a source
        of a model: the name, file or URL of a preset, an export, or the work directory of a
        training run.
      data: `test` or `validation` of `ran_tf.load_dataset`; a split expression, such as "test", of
        the dataset that the model was trained on; or batches (x, y), with x a dict of image
        u8[b, H, W, 3], boxes f32[b, k, 4] and, where known, mask bool[b, k], occlusion i64[b],
        pose_30 and pose_45 bool[b], and y f32[b, n] or i64[b].
      baseline: another model, which is compared on the same faces.
      flip_average: average probabilities over each face and its mirror image.
      dataset: TFDS name of a split expression; that of the model's card when None.
      data_dir: TFDS directory of a split expression; TFDS' default when None.
      batch_size: batch size of a split expression, over all workers.
      strategy: tf.distribute strategy of several workers. All call this with a split expression and
        share the faces. Each worker gets the whole report.
      on_faces: called after each batch with the model's name, the number of its faces, and the
        number of all faces, or None if that is not known.
      command: command that the report names.

    Returns:
      A `Report`.

    Raises:
      FileNotFoundError: for a model or dataset that is not there.
      ValueError: for models whose labels are not those of the data, or data without a face.

    Example:
      >>> report = ran_tf.evaluate("ran_faceres_shared_ferplus", "test[:32]",
      ...     dataset="synthetic_faces", baseline="face_faceres_ferplus")
      >>> report.subsets["all"].count, report.differences["all"].count
      (32, 32)
    """
    strategy = strategy or tf.distribute.get_strategy()
    share = Share(first=workers.index(strategy), total=workers.count(strategy))
    classifiers = [classifier_of(one, data) for one in (model, baseline) if one is not None]
    asked = {"dataset": dataset or classifiers[0].card.dataset, "data_dir": data_dir}
    opened = [
        splits.open_faces(one, data, **asked, batch_size=batch_size, share=share)
        for one in classifiers
    ]
    evaluated = [
        reports.Evaluated(
            name=one.classifier.name,
            card=one.classifier.card,
            predictions=_predict(
                one, strategy, batch_size=batch_size, flip_average=flip_average, on_faces=on_faces
            ),
        )
        for one in opened
    ]
    first = opened[0]
    return Report(
        numbers=reports.build_report(
            evaluated[0],
            baseline=evaluated[1] if baseline is not None else None,
            dataset=first.full_name,
            split=first.split,
            flip_average=flip_average,
            command=command,
        ),
        model=evaluated[0],
        baseline=evaluated[1] if baseline is not None else None,
        # Those faces may be another worker's.
        find_faces=lambda ids: explain.find_images(first.all_batches, ids),
    )


def _predict(opened: splits.Split, strategy, *, batch_size, flip_average, on_faces):
    name, total = opened.classifier.name, opened.faces and opened.faces / opened.workers
    guard = damage.explained(opened.builder) if opened.builder else contextlib.nullcontext()
    with guard:
        own = predictions.collect(
            opened.classifier,
            ({**batch, "covered": listed_shares(batch)} for batch in opened.batches),
            flip_average=flip_average,
            on_faces=lambda count: on_faces(name, count, total),
        )
    return joined.join(strategy, own, faces=opened.faces, batch_size=batch_size)


def classifier_of(model: Any, data: Any) -> Classifier:
    """What is evaluated; a network's card is that of the data it is shown."""
    if isinstance(model, keras.Model):
        return keras_engine.from_network(model, splits.card_on(model, data), name=model.name)
    if isinstance(model, Adapter):
        return model.classifier()
    source = model.source if isinstance(model, Predictor) else model
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            "`model` must be a RegionAttentionNetwork, a Predictor, an Adapter, or the name or "
            f"path of a trained model. Received: {type(model).__name__}"
        )
    return runner.load(source)
