"""The card of a trained model: card.json beside weights and in exports."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from ran_tf import registry, vocabulary
from ran_tf.checks import (
    MAX_LABEL,
    InvalidArgument,
    check_choice,
    check_framing,
    check_range,
    check_size,
    check_whole,
    is_label,
)
from ran_tf.config import ObjectiveConfig, RegionConfig
from ran_tf.safety import files
from ran_tf.weights.covered_readout import CoveredReadout


def check_labels(name: str, labels: Sequence[str]) -> None:
    """Checks names of classes: files keep them one a line, tables show them.

    Args:
      name: of what has them, for the error.
      labels: in index order.

    Raises:
      ValueError: unless there are two that differ, each one line of at most `MAX_LABEL` characters
        without spaces around it and without control characters.
    """
    for label in labels:
        if not (isinstance(label, str) and is_label(label)):
            raise ValueError(
                f"`{name}` must be one-line names of at most {MAX_LABEL} characters, without "
                f"spaces around them or control characters. Received: {str(label)[:MAX_LABEL]!r}"
            )
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(
            f"`{name}` must be at least two different names. Received: {str(labels)[:400]}"
        )


@dataclasses.dataclass(frozen=True)
class Quantised:
    """What it cost to store a network in fewer bits: its classes before and after, face by face.

    Attributes:
      kind: "int8" or "float16".
      data: what the faces are: a split, a folder, or "faces".
      faces: how many.
      changed: of these, those whose class is another afterwards.
      right_before, right_after: of these, those whose class was right; None without labels.
      lost, won: those that were right before alone, and after alone; None without labels.
    """

    kind: str
    data: str
    faces: int
    changed: int
    right_before: int | None = None
    right_after: int | None = None
    lost: int | None = None
    won: int | None = None

    def __post_init__(self):
        check_choice("card.quantised.kind", self.kind, vocabulary.QUANTISED)
        if not (isinstance(self.data, str) and is_label(self.data)):
            raise InvalidArgument("card.quantised.data", "a name of one line", self.data)
        check_whole("card.quantised.faces", self.faces, low=1)
        for name in ("changed", "right_before", "right_after", "lost", "won"):
            count = getattr(self, name)
            if count is not None:
                check_whole(f"card.quantised.{name}", count, low=0, high=self.faces)

    def describe(self) -> str:
        """One line."""
        said = f"{self.kind}: {self.changed:,} of {self.faces:,} faces of {self.data} change class"
        if self.right_before is None or self.right_after is None:
            return said
        before, after = (f"{n / self.faces:.2%}" for n in (self.right_before, self.right_after))
        return f"{said}; right before {before}, after {after} ({self.lost} lost, {self.won} won)"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a trained model must know to be used: it travels with weights and exports.

    Attributes:
      dataset: name of the dataset the labels come from, with its config if it has any.
      labels: class names, in index order.
      image_size: (height, width) that the whole face is resized to before the model.
      regions: the regions the model was trained with.
      model: arguments of `RegionAttentionNetwork`.
      colour: "rgb", or "grey" when colour must be taken out first, because the model saw none.
      crop_margin, crop_drop: how faces were framed, see `framing.Framing`: photos are cut like
        this.
      loss_margin: of the region biased loss that it was trained with; the paper's where a card
        says none.
      temperature: that the logits were divided by after training, so that probabilities fit
        held-out faces (`ran_tf.calibrate`); the weights hold it already.
      covered: how the covered share of a face is read from the region weights; None of networks
        that do not tell.
      quantised: of a file in fewer bits, what that cost; None of all others.
    """

    dataset: str
    labels: tuple[str, ...]
    image_size: tuple[int, int]
    regions: RegionConfig
    model: dict[str, Any]
    colour: str = "rgb"
    crop_margin: float = 0.0
    crop_drop: float = 0.0
    loss_margin: float = ObjectiveConfig.margin
    temperature: float = 1.0
    covered: CoveredReadout | None = None
    quantised: Quantised | None = None

    def __post_init__(self):
        check_labels("card.labels", self.labels)
        check_choice("card.colour", self.colour, ("rgb", "grey"))
        check_framing(self.crop_margin, self.crop_drop, prefix="card.crop_")
        check_range("card.loss_margin", self.loss_margin, low=-1.0, high=1.0)
        check_range("card.temperature", self.temperature, low=1e-3, high=1e3)

    @property
    def family(self) -> str:
        """The dataset without its config."""
        return self.dataset.partition("/")[0]

    def to_json(self) -> str:
        fields = dataclasses.asdict(self)
        for name in ("covered", "quantised"):
            if fields[name] is None:
                del fields[name]
        return json.dumps(fields, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str = "card.json") -> "ModelCard":
        """Reads what `to_json` wrote.

        Args:
          text: JSON, perhaps of a stranger.
          source: the file, for errors.

        Raises:
          NotRegisteredError: for a kind of regions that nobody has registered.
          ValueError: if it is no such card: every attribute has its type, and sizes are at most
            `MAX_SIDE`.
        """
        try:
            fields = files.parse_json(text, source=source)
            regions = RegionConfig(**fields["regions"])
            sides = tuple(fields["image_size"])
            cost, readout = fields.get("quantised"), fields.get("covered")
            card = cls(
                **{
                    **fields,
                    "labels": tuple(fields["labels"]),
                    "image_size": sides,
                    "regions": regions,
                    "covered": None if readout is None else _read_covered(readout),
                    "quantised": None if cost is None else Quantised(**cost),
                }
            )
            _check_types(card)
            if card.family in vocabulary.GREY:
                card = dataclasses.replace(card, colour="grey")
        except registry.NotRegisteredError as error:
            raise error.renamed("regions").reading(source) from error
        # What strange JSON makes of the lines above.
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{source} must be a model card as ran_tf writes it. Received: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            ) from error
        return card


def _check_types(card: ModelCard) -> None:
    """Raises ValueError unless a card could have been made of a trained model."""
    if not (isinstance(card.dataset, str) and isinstance(card.model, dict)):
        raise ValueError(f"dataset={card.dataset!r:.80}, model={card.model!r:.80}")
    check_size("card.image_size", card.image_size, low=2)
    if card.model.get("size") is not None:
        check_size("card.model.size", card.model["size"], low=2)
    if card.covered is not None and len(card.covered.slopes) != card.regions.k:
        raise ValueError(f"card.covered of {len(card.covered.slopes)} regions")


def _read_covered(fields: dict) -> CoveredReadout:
    return CoveredReadout(**{**fields, "slopes": tuple(fields["slopes"])})


def describe_model(card: dict) -> str:
    """One phrase on a model: backbone, regions, sizes. Takes a card as a dictionary."""
    regions, arguments = card["regions"], card["model"]
    shape = "x".join(str(side) for side in card["image_size"])
    text = f"{arguments.get('backbone', 'unknown backbone')}, "
    if regions["k"] == 1:
        text += "whole face"
    else:
        text += f"{regions['k']} {regions['kind']} regions"
        text += f" ({regions['variant']})" if regions["kind"] == "fixed" else ""
        text += " with one trunk" if arguments.get("trunk") == "shared" else ""
        text += f", {arguments.get('attention', 'sigmoid')} attention"
        text += "" if arguments.get("relation", True) else " without relation-attention"
    return f"{text}, faces of {shape} px"


def card_for(model, data=None) -> ModelCard:
    """The card to save or export a network with.

    Args:
      model: `RegionAttentionNetwork`.
      data: `ran_tf.load_dataset`'s, whose faces it was trained on; None is the network's own card.

    Raises:
      ValueError: for a network without a card, or `data` of other classes.
    """
    if data is not None:
        return data.card(model)
    if model.card is None:
        raise ValueError(
            "`data` must be what the network was trained on (`ran_tf.load_dataset`): it has no "
            "card that names its classes. Received: data=None"
        )
    return model.card


def check_classes(model, labels: Sequence[str], *, name: str) -> None:
    """Checks that a network's classes are those of a dataset.

    Raises:
      ValueError: if it has another number of classes, or a card that names others: naming the
        argument `name`, which has `labels`.
    """
    labels = tuple(labels)
    known = model.card.labels if model.card is not None else None
    count = model.arguments["num_classes"]
    if count != len(labels) or known not in (None, labels):
        raise ValueError(
            f"`{name}` must have the classes of the network, {known or count}; from_preset(..., "
            f"labels=data.labels) gives the network other classes. Received: {labels}"
        )
