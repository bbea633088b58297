"""Weights from elsewhere into a new network (`--init_weights`)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.weights import sources, weights_file


@dataclasses.dataclass(frozen=True)
class Initialised:
    """Which weights of a network were taken over and which keep their random start.

    Attributes:
      loaded, fresh: paths of variables such as "conv1/kernel".
      notes: what a person should know, a sentence each.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    notes: tuple[str, ...] = ()


def init_weights(
    model: RegionAttentionNetwork, source: str, *, labels: Sequence[str]
) -> Initialised:
    """Fills a network from a trained one, or a `.weights.h5` file of a backbone or a network.

    From a work directory or a preset weights are matched by name and shape: what it lacks (the
    attention of a model without) keeps its random start. The classifier is taken class by class,
    or not at all if the network has a class that was not trained. A file must fit as a whole: to
    the backbone, or to the network, whose classes it does not tell.

    Args:
      model: the network to fill, in place.
      labels: its classes, in their order.
      source: a work directory of `ran_tf.launch.train`, a preset, or a weights file:
        `ran_tf.launch.convert` makes one of a backbone, `model.save_weights` one of a network.
        Files may be URLs, see `ran_tf.weights.sources`.

    Raises:
      FileNotFoundError: if there is no such file or directory.
      ValueError: if it does not fit, or was trained with another preprocessing than the model's.
    """
    found = sources.resolve(source)
    if found.kind == "weights":
        return _from_file(model, found.path)
    trained = sources.load_trained(found)
    arguments = trained.model.get_config()
    _check_preprocessing(model, arguments, source=source)
    theirs = trained.card.labels
    known = {i: theirs.index(name) for i, name in enumerate(labels) if name in theirs}
    classes = known if len(known) == len(labels) else {}
    taken = _from_network(model, trained.model, classes=classes, source=source)
    return dataclasses.replace(taken, notes=_notes(model, arguments, source=source))


def _notes(model, arguments: Mapping[str, Any], *, source: str) -> tuple[str, ...]:
    # No weight tells them apart. Not refused: whoever compares attentions means it.
    ours = model.get_config()["attention"]
    theirs = arguments.get("attention", ours)
    if theirs == ours:
        return ()
    return (
        f"{source} was trained with attention={theirs!r} and goes on with {ours!r}; "
        f"--attention={theirs} keeps it unchanged",
    )


def _check_preprocessing(model, arguments: Mapping[str, Any], *, source: str) -> None:
    # The shapes fit whatever the pixels were, so nothing else would notice.
    ours = model.get_config()["preprocessing"]
    theirs = arguments.get("preprocessing", ours)
    if theirs != ours:
        raise ValueError(
            f"`init_weights` was trained with preprocessing={theirs!r}: give the model the same "
            f"(--preprocessing={theirs}). Received: init_weights={source!r}, preprocessing={ours!r}"
        )


def _from_network(model, trained, *, classes: Mapping[int, int], source: str) -> Initialised:
    new = weights_file.weights_by_path(model)
    taken = weights_file.take_weights(model, trained, classes=classes)
    if not taken & _names_in(model.backbone, new):
        raise ValueError(
            "`init_weights` must be of the same backbone; no weight of it fits "
            f"{model.backbone.name!r}. Received: init_weights={source!r}"
        )
    return _sorted_out(new, taken)


def _names_in(part, weights: dict) -> set[str]:
    """Those of named weights that a part of their network has."""
    there = {id(v) for v in part.weights}
    return {name for name, v in weights.items() if id(v) in there}


def _from_file(model, path) -> Initialised:
    try:
        with weights_file.safe_copy(path) as file:
            _check_preprocessing(model, file.arguments, source=str(path))
            target = model if "backbone" in file.groups else model.backbone
            _load(target, file.path, model=model, source=path)
            notes = _notes(model, file.arguments, source=str(path))
    except OSError as error:
        raise _unfit(model, path, error) from error
    ours = weights_file.weights_by_path(model)
    taken = _sorted_out(ours, _names_in(target, ours))
    return dataclasses.replace(taken, notes=notes)


def _load(target, copy, *, model, source) -> None:
    try:
        target.load_weights(copy)
    except (ValueError, KeyError, OSError) as error:
        raise _unfit(model, source, error) from error


def _unfit(model, path, error: Exception) -> ValueError:
    return ValueError(
        f"`init_weights` must hold the weights of a {model.backbone.name!r} backbone, or of a "
        f"whole network like this one. Received: init_weights={str(path)!r}: {error}"
    )


def _sorted_out(weights, loaded: set[str]) -> Initialised:
    return Initialised(
        loaded=tuple(n for n in weights if n in loaded),
        fresh=tuple(n for n in weights if n not in loaded),
    )
