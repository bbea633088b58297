"""What training asks of a dataset, wherever its faces are: `prepared` by TFDS, or `packed`."""

import abc
import contextlib
from collections.abc import Sequence

from ran_tf.config import DataConfig, RegionConfig
from ran_tf.data import split_expression
from ran_tf.data.split_expression import Piece
from ran_tf.faces.framing import Framing
from ran_tf.weights.card import ModelCard


class DamagedDatasetError(OSError):
    """A file of a prepared dataset is missing, truncated or altered; names it."""


class Dataset(abc.ABC):
    """An opened dataset.

    Attributes:
      labels: class names in index order.
      name: what opens it again, whatever is the default: "raf_db/aligned", or "sfew".
      full_name: with its version, "raf_db/aligned/1.0.0": what reports and checkpoints say.
      split_names: of its splits.
    """

    # Read only, which no type says of a field: some are properties below.
    labels: tuple[str, ...]
    name: str
    full_name: str
    split_names: tuple[str, ...]

    @abc.abstractmethod
    def pieces(self, split: str) -> Sequence[Piece]:
        """What a split expression names; raises KeyError or ValueError if there is no such."""

    @abc.abstractmethod
    def has_landmarks(self, split: str) -> bool:
        """Whether any face of a split has a known landmark; may read the faces."""

    @abc.abstractmethod
    def colour(self, data: DataConfig) -> str:
        """ "grey" if no face of the training split has colour, else "rgb", as a card has it."""

    @abc.abstractmethod
    def framing(self) -> Framing | None:
        """How its faces were cut out of photos; None if that is not known."""

    @abc.abstractmethod
    def damage_explained(self) -> contextlib.AbstractContextManager:
        """Turns errors of reading its faces into `DamagedDatasetError`."""

    def has_split(self, split: str) -> bool:
        """Whether a split expression names a split that is there; "" names none."""
        return bool(split) and split.partition("[")[0] in self.split_names

    def size(self, split: str, *, name: str = "split") -> int:
        """Number of examples; raises ValueError, with the argument's name, if there is no such."""
        try:
            return sum(piece.take for piece in self.pieces(split))
        except (KeyError, ValueError) as error:
            names = sorted(self.split_names)
            held_back = "test" in split and "test" not in names and "validation" in names
            raise ValueError(
                f"`{name}` must be one of {names}, or a slice of one"
                + (" (faces to test on are in 'validation')" if held_back else "")
                + f". Received: {name}={split!r}"
            ) from error

    def shared(self, split: str, other: str) -> int:
        """Number of examples that are in both splits; raises ValueError as `size` does."""
        for name in (split, other):
            self.size(name)
        return split_expression.shared(self.pieces(split), self.pieces(other))

    def card(
        self, data: DataConfig, *, model: dict, framing: Framing, loss_margin: float
    ) -> ModelCard:
        """The card of a network that was trained on it.

        Args:
          data: how its faces were read.
          model: arguments of the network.
          framing: how its faces were cut out of photos.
          loss_margin: of the region biased loss that it was trained with.
        """
        return ModelCard(
            dataset=self.name,
            labels=self.labels,
            image_size=data.image_size,
            regions=data.regions,
            model=model,
            colour=self.colour(data),
            crop_margin=framing.margin,
            crop_drop=framing.drop,
            loss_margin=loss_margin,
        )

    def check_regions(self, regions: RegionConfig, *, split: str) -> None:
        """Raises ValueError if regions follow landmarks and no face of a split has any."""
        if regions.follow_landmarks and not self.has_landmarks(split):
            raise ValueError(
                "`regions` can be 'landmarks' only where faces have landmarks: find them with "
                "ran_tf.launch.align --landmarks_only, and build the dataset with "
                "ran_tf.launch.prepare --landmarks=FILE.csv. Received: none of the "
                f"{self.size(split):,} faces of {split!r} in {self.full_name!r} has any"
            )


def check_target(data: DataConfig, *, has_votes: bool) -> None:
    """Raises ValueError if votes are asked for where there are none."""
    if data.target == "votes" and not has_votes:
        raise ValueError(
            f"`target` can be 'votes' only for a dataset with crowd votes. "
            f"Received: target='votes' with dataset={data.name!r}"
        )
