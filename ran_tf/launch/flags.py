"""Flags of the settings of a run, made from the dataclasses of `ran_tf.config`.

    python -m ran_tf.launch.flags > docs/settings.md

writes the table of all settings.
"""

import dataclasses
import typing
from typing import Any

from absl import flags

from ran_tf.checks import InvalidArgument
from ran_tf.config import TrainConfig
from ran_tf.settings import Setting, settings_of, table


def define_training_flags(cls: type = TrainConfig) -> None:
    """Defines a flag for every setting of a dataclass, a run; defaults are those of its fields."""
    for setting in settings_of(cls):
        if setting.flag:
            define(setting)


def define(setting: Setting) -> None:
    """Defines the flag of a setting."""
    name, default, help = setting.flag, setting.default, setting.help
    if setting.choices is not None and tuple(setting.choices):
        help = f"{help} {'Known' if setting.open else 'One of'}: {', '.join(setting.choices)}."
    if setting.kind is bool:
        flags.DEFINE_bool(name, default, help)
    elif setting.kind == "size":
        flags.DEFINE_integer(name, default and default[0], help)
    elif setting.kind is tuple:
        flags.DEFINE_list(name, default and [str(item) for item in default], help)
    elif setting.kind is int:
        flags.DEFINE_integer(name, default, help)
    elif setting.kind is float:
        flags.DEFINE_float(name, default, help)
    else:
        # Not DEFINE_enum: its errors do not say what to import.
        flags.DEFINE_string(name, default, help)


def _value(setting: Setting, values: flags.FlagValues) -> Any:
    value: Any = values[setting.flag].value
    if setting.kind == "size":
        # 0 as in recipes: what is absent.
        return (value, value) if value or not setting.optional else None
    if setting.kind is tuple:
        try:
            return tuple(setting.item(item) for item in value)
        except ValueError:
            raise InvalidArgument(
                f"--{setting.flag}", "numbers, separated by commas", value
            ) from None
    return None if value == "" and setting.optional else value


def train_config(values: flags.FlagValues, cls: type = TrainConfig) -> Any:
    """What the flags of `define_training_flags` describe.

    Raises:
      InvalidArgument: naming the flag, for what makes no sense.
    """
    by_path = {setting.path: setting for setting in settings_of(cls)}

    def make(part: type, prefix: str) -> Any:
        chosen = {}
        for name, hint in typing.get_type_hints(part).items():
            path = f"{prefix}{name}"
            if isinstance(hint, type) and dataclasses.is_dataclass(hint):
                chosen[name] = make(hint, f"{path}.")
            elif path in by_path and by_path[path].flag:
                chosen[name] = _value(by_path[path], values)
        if part is cls and issubclass(cls, TrainConfig) and chosen["data"].regions.k == 1:
            # So that --num_regions=1 alone makes the whole-face baseline of any recipe.
            objective = dataclasses.replace(chosen["objective"], regions_per_step=0)
            chosen["objective"] = objective
        try:
            return part(**chosen)
        except InvalidArgument as error:
            raise error.renamed(flag_of(f"{prefix}{error.name}", cls)) from error

    return make(cls, "")


# What a run must be equal in and no flag sets: two folders of one name and version may differ.
_WORDS_FOR = {
    "dataset": "the prepared dataset",
    "labels": "the dataset's list of labels",
    "train_faces": "the number of training faces in --data_dir",
    "train_data": "the fingerprint of the training faces and their labels in --data_dir",
}


def flag_of(path: str, cls: type = TrainConfig) -> str:
    """The flag of a setting of a run by its path: of "data.name" it is "--dataset".

    Of what `OtherRunError` compares beside these: words, as no flag says it.
    """
    if path in _WORDS_FOR:
        return _WORDS_FOR[path]
    flags_of = {setting.path: setting.flag for setting in settings_of(cls)}
    return f"--{flags_of.get(path, path)}"


def document(cls: type = TrainConfig) -> str:
    """docs/settings.md."""
    return f"""# Settings of a run

`train`, `ablate` and recipes take the flags of the first column. `ran_tf.TrainConfig` takes the
names of the second column, with a dataclass for each part:
`TrainConfig(epochs=3, optimizer=OptimizerConfig(learning_rate=0.01))`. Where a row lists names, it
also takes the names that you register (`ran_tf.register_*`, `--import=MODULE`).

This page is made by `python -m ran_tf.launch.flags > docs/settings.md` from the dataclasses in
[`ran_tf/config.py`](../ran_tf/config.py).

{table(cls)}"""


if __name__ == "__main__":
    print(document(), end="")
