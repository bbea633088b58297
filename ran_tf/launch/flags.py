"""Flags of the settings of a run, made from the dataclasses of `ran_tf.config`."""

import dataclasses
import typing
from typing import Any

from absl import flags

from ran_tf.checks import InvalidArgument
from ran_tf.config import TrainConfig
from ran_tf.settings import Setting, settings_of


def define_training_flags() -> None:
    """Defines a flag for every setting of `TrainConfig`; defaults are those of the dataclasses."""
    for setting in settings_of(TrainConfig):
        if setting.flag:
            _define(setting)


def _define(setting: Setting) -> None:
    name, default, help = setting.flag, setting.default, setting.help
    if setting.kind is bool:
        flags.DEFINE_bool(name, default, help)
    elif setting.kind == "size":
        flags.DEFINE_integer(name, default and default[0], help)
    elif setting.kind is tuple:
        flags.DEFINE_list(name, [str(item) for item in default], help)
    elif setting.kind is int:
        flags.DEFINE_integer(name, default, help)
    elif setting.kind is float:
        flags.DEFINE_float(name, default, help)
    else:
        # Not DEFINE_enum: what --import registers is not known yet.
        choices = f" One of {', '.join(setting.choices)}." if setting.choices else ""
        flags.DEFINE_string(name, default, f"{help}{choices}")


def _value(setting: Setting, values: flags.FlagValues) -> Any:
    value = values[setting.flag].value
    if setting.kind == "size":
        # 0 as in recipes: what is absent.
        return (value, value) if value or not setting.optional else None
    if setting.kind is tuple:
        try:
            return tuple(setting.item(item) for item in value)
        except ValueError:
            raise InvalidArgument(setting.flag, "numbers with commas between", value) from None
    return None if value == "" and setting.optional else value


def train_config(values: flags.FlagValues) -> TrainConfig:
    """The run that the flags describe.

    Raises:
      InvalidArgument: naming the flag, for a run that makes no sense.
    """
    by_path = {setting.path: setting for setting in settings_of(TrainConfig)}

    def make(cls: type, prefix: str) -> Any:
        chosen = {}
        for name, hint in typing.get_type_hints(cls).items():
            path = f"{prefix}{name}"
            if dataclasses.is_dataclass(hint):
                chosen[name] = make(hint, f"{path}.")
            elif path in by_path and by_path[path].flag:
                chosen[name] = _value(by_path[path], values)
        if cls is TrainConfig and chosen["data"].regions.k == 1:
            # So that --num_regions=1 alone makes the whole-face baseline of any recipe.
            objective = dataclasses.replace(chosen["objective"], regions_per_step=0)
            chosen["objective"] = objective
        try:
            return cls(**chosen)
        except InvalidArgument as error:
            raise error.renamed(flag_of(f"{prefix}{error.name}")) from error

    return make(TrainConfig, "")


# What a run must be equal in and no flag sets: two folders of one name and version may differ.
_WORDS_FOR = {
    "dataset": "the prepared dataset",
    "labels": "the dataset's list of labels",
    "train_faces": "the number of training faces in --data_dir",
    "train_data": "the fingerprint of the training faces and their labels in --data_dir",
}


def flag_of(path: str) -> str:
    """The flag of a setting of `TrainConfig` by its path: of "data.name" it is "--dataset".

    Of what `OtherRunError` compares beside these: words, as no flag says it.
    """
    if path in _WORDS_FOR:
        return _WORDS_FOR[path]
    flags_of = {setting.path: setting.flag for setting in settings_of(TrainConfig)}
    return f"--{flags_of.get(path, path)}"
