"""Whether the splits of a run fit it, before its first step."""

from collections.abc import Callable

from ran_tf.config import TrainConfig
from ran_tf.data.dataset import Dataset

# Validation faces below which a line says what the choice of an epoch rests on: a face is 2 %.
_FEW = 50


def check(
    config: TrainConfig,
    dataset: Dataset,
    *,
    tested: bool = False,
    say: Callable[[str], None],
) -> None:
    """Checks which faces are trained on, chosen on and tested on, and that regions can be found.

    Args:
      config: the run.
      dataset: opened, that of `config.data`.
      tested: whether the run is evaluated on the test split afterwards: then that must be there,
        and no face of it trained on.
      say: told of what is allowed, and makes figures mean little or nothing.

    Raises:
      ValueError: for a split that does not exist, an epoch chosen on faces that are trained on or
        tested on, a test on faces that are trained on, or landmark regions of faces without
        landmarks.
      dataset.DamagedDatasetError: for a damaged file where landmarks are looked for.
    """
    train, validation = config.data.train_split, config.data.validation_split
    chosen = config.keep == "best"
    has_test = "test" in dataset.split_names
    if tested and not has_test:
        raise ValueError(
            f"`evaluate` reads the split 'test', which {dataset.name!r} does not have: train "
            "without it, then run ran_tf.launch.evaluate with --split=validation"
        )
    if tested:
        dataset.check_regions(config.data.regions, split="test")
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
        say(
            f"{both:,} validation faces are also training faces: the validation accuracy means "
            "nothing"
        )
    if chosen and has_test and (both := dataset.shared(validation, "test")):
        raise ValueError(
            "the best epoch must not be chosen on the test split: choose another, or "
            f"keep='last'. Received: validation_split={validation!r}, {both:,} of whose faces are "
            "test faces"
        )
    if chosen and (faces := dataset.size(validation)) < _FEW:
        say(
            f"the best epoch is chosen on only {faces} faces: each changes the accuracy by "
            f"{1 / faces:.1%}. Among epochs of equal accuracy, the one with the lower "
            "cross-entropy is kept. keep='last' chooses none"
        )
    if has_test and (both := dataset.shared(train, "test")):
        if tested:
            raise ValueError(
                "`evaluate` needs a test split that is not trained on. Received: "
                f"train_split={train!r}, which shares {both:,} faces with it"
            )
        say(f"{both:,} training faces are also test faces: evaluate this network on other faces")
