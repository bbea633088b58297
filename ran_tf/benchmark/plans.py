"""What each suite measures: dataclasses of settings, from which the command has its flags."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ran_tf import checks, vocabulary
from ran_tf.checks import InvalidArgument
from ran_tf.settings import Checked, Setting, setting, settings_of


@dataclasses.dataclass(frozen=True)
class Step(Checked):
    """Training steps: every combination of the lists."""

    backbone: str = setting("resnet18", "Name of the backbone.")
    region_size: int = setting(224, "Side of a region, pixels.", low=8)
    image_size: int = setting(224, "Side of the whole face, pixels.", low=2)
    num_regions: tuple[int, ...] = setting(
        (6,), "Number of regions; a list with --suite=step.", low=1
    )
    batch_size: tuple[int, ...] = setting(
        (8,), "Batch size, faces; a list with --suite=step.", low=1
    )
    dtype: tuple[str, ...] = setting(
        ("mixed_bfloat16",), "Precision policies; a list with --suite=step."
    )
    replicas: int = setting(
        1, "Number of logical devices of a MirroredStrategy; 1: no strategy.", low=1
    )
    sync_batch_norm: bool = setting(True, "Compute batch statistics over all replicas.")
    warmup: int = setting(3, "Untimed calls before the timed ones.", low=0)
    repeats: int = setting(10, "Timed calls.", low=1)


@dataclasses.dataclass(frozen=True)
class Input(Checked):
    """A prepared split that is read; its faces have random regions."""

    dataset: str = setting("synthetic_faces", "TFDS name, for --suite=input.")
    data_dir: str | None = setting(None, "TFDS directory, for --suite=input.")
    split: str = setting("train", "Split of --suite=input.")
    image_size: int = setting(64, "Side that faces are resized to, pixels.", low=2)
    num_regions: int = setting(6, "Number of regions.", low=1)
    batch_size: int = setting(64, "Batch size, faces.", low=1)
    repeats: int = setting(2, "Timed passes over the split, with each loader.", low=1)
    region_size: int = setting(
        224, "Side of the regions that are cut for comparison, pixels.", low=8
    )
    backbone: str = setting("mobilenet_v1", "Backbone of the training step that waits for batches.")
    dtype: str = setting(
        "mixed_bfloat16", "Precision policy of that step.", choices=vocabulary.DTYPES
    )
    wait_steps: int = setting(
        20, "Training steps that wait for batches, with --suite=input; 0: none.", low=0
    )


@dataclasses.dataclass(frozen=True)
class Crop(Checked):
    """Regions that are cut."""

    batch_size: int = setting(64, "Batch size, faces.", low=1)
    num_regions: int = setting(6, "Number of regions.", low=1)
    image_size: int = setting(224, "Side of the whole face, pixels.", low=2)
    region_size: int = setting(224, "Side of a region, pixels.", low=8)
    backbone: str = setting(
        "resnet18", "Backbone of the training step that crops are compared with."
    )
    dtype: str = setting(
        "mixed_bfloat16", "Precision policy of that step.", choices=vocabulary.DTYPES
    )
    step_batch: int = setting(8, "Batch size of that step, faces; 0: no such step.", low=0)
    warmup: int = setting(3, "Untimed calls before the timed ones.", low=0)
    repeats: int = setting(10, "Timed calls.", low=1)


SUITES: dict[str, type] = {"step": Step, "input": Input, "crop": Crop}


def all_settings() -> dict[str, Setting]:
    """Those of all suites by flag, without defaults; a list where a suite takes one."""
    found: dict[str, Setting] = {}
    for plan in SUITES.values():
        for one in settings_of(plan):
            if one.flag not in found or found[one.flag].kind is not one.kind is tuple:
                found[one.flag] = dataclasses.replace(one, default=None)
    return found


def make_plan(suite: str, given: Mapping[str, Any]) -> Any:
    """The plan of a suite.

    Args:
      suite: a key of `SUITES`.
      given: values by flag; a list of texts where a suite takes one.

    Raises:
      ValueError: for what the suite would ignore, and for a value that is none.
    """
    known = {one.flag: one for one in settings_of(SUITES[suite])}
    for name, value in given.items():
        if name not in known:
            takers = [
                s for s, plan in SUITES.items() if name in {o.flag for o in settings_of(plan)}
            ]
            raise ValueError(
                f"--{name} must be left out with --suite={suite}: it belongs to "
                f"--suite={', --suite='.join(takers)}. Received: --{name}={value}"
            )
    try:
        plan = SUITES[suite](**{name: _value(known[name], value) for name, value in given.items()})
    except InvalidArgument as error:
        raise error.renamed(f"--{error.name}") from error
    for policy in (plan.dtype,) if isinstance(plan.dtype, str) else plan.dtype:
        checks.check_choice("--dtype", policy, vocabulary.DTYPES)
    return plan


def _value(one: Setting, value: Any) -> Any:
    """A flag's value as its field has it: those with commas between, or one of them."""
    if not isinstance(value, list):
        return value
    try:
        found = tuple((one.item or one.kind)(text) for text in value)
    except ValueError:
        raise InvalidArgument(one.flag, "whole numbers, separated by commas", value) from None
    if one.kind is not tuple and len(found) != 1:
        raise InvalidArgument(one.flag, "one value with this suite", value)
    return found if one.kind is tuple else found[0]
