"""Whether the splits of a run fit it, before its first step."""

from collections.abc import Callable

from ran_tf.config import TrainConfig
from ran_tf.data import prepared


def check(config: TrainConfig, dataset: prepared.Dataset, *, say: Callable[[str], None]) -> None:
    """Checks which faces are trained on, chosen on and tested on, and that regions can be found.

    Args:
      config: the run.
      dataset: opened, that of `config.data`.
      say: told of what is allowed, and makes figures of the test split mean nothing.

    Raises:
      ValueError: for a split that does not exist, an epoch chosen on faces that are trained on or
        tested on, or landmark regions of faces without landmarks.
      damage.DamagedDatasetError: for a damaged file where landmarks are looked for.
    """
    train, validation = config.data.train_split, config.data.validation_split
    chosen = config.keep == "best"
    tested = "test" in dataset.builder.info.splits
    named = {"train_split": train} | ({"validation_split": validation} if validation else {})
    for name, split in named.items():
        dataset.size(split, name=name)
        dataset.check_regions(config.data.regions, split=split)
    if validation and (both := dataset.shared(train, validation)):
        if chosen:
            raise ValueError(
                "the best epoch must be chosen on faces that are not trained on: choose other "
                f"splits, or keep='last'. Received: {both:,} faces in both train_split={train!r} "
                f"and validation_split={validation!r}"
            )
        say(f"validates on {both:,} faces that it trains on: that accuracy means nothing")
    if chosen and tested and (both := dataset.shared(validation, "test")):
        raise ValueError(
            "the best epoch must not be chosen on the test split: choose another, or keep='last'. "
            f"Received: validation_split={validation!r}, {both:,} of whose faces are tested on"
        )
    if tested and (both := dataset.shared(train, "test")):
        say(f"trains on {both:,} faces of the test split: evaluate it on other faces")
