"""A setting is one field: its flag, check, help, row in the documentation and identity follow."""

import dataclasses
import json
import pathlib
import types

import pytest
from absl import flags

from ran_tf import registry
from ran_tf.checks import InvalidArgument
from ran_tf.config import OptimizerConfig, RegionConfig, TrainConfig
from ran_tf.faces.worker import AlignConfig
from ran_tf.launch import flags as launch_flags
from ran_tf.settings import differences, fingerprint, setting, settings_of, table
from ran_tf.weights.card import ModelCard

ROOT = pathlib.Path(__file__).parents[1]
REGISTRIES = [
    registry.ATTENTIONS,
    registry.AUGMENTATIONS,
    registry.BACKBONES,
    registry.LOSSES,
    registry.OPTIMIZERS,
    registry.REGIONS,
]
SETTINGS = {s.path: s for s in settings_of(TrainConfig)}
# Of settings that may be any text: a folder, a split, a layer, which are known later.
TEXTS = {"data.name", "data.data_dir", "data.train_split", "freeze", "model.split", "teacher"}


@dataclasses.dataclass(frozen=True)
class WithBeta(OptimizerConfig):
    beta: float = setting(0.99, "Of lion | tiger.", low=0.5, high=1.0)


@dataclasses.dataclass(frozen=True)
class WithMore(TrainConfig):
    optimizer: WithBeta = dataclasses.field(default_factory=WithBeta)
    patience: int = setting(0, "Epochs without gain.", low=0, high=9, identity=False)


MORE = types.SimpleNamespace(define_flags=lambda: launch_flags.define_training_flags(WithMore))


def test_a_setting_more_is_one_line(parse):
    values = parse("--beta=0.75", "--patience=2", "--epochs=3", command=MORE)
    config = launch_flags.train_config(values, WithMore)
    assert isinstance(config, WithMore) and config.epochs == 3
    assert (config.optimizer.beta, config.patience) == (0.75, 2)
    assert values["beta"].help == "Of lion | tiger." and values["beta"].default == 0.99
    for flag, said in (("--beta=0.25", "in 0.5..1"), ("--patience=10", "in 0..9")):
        with pytest.raises(InvalidArgument, match=f"`{flag.partition('=')[0]}` must be {said}"):
            launch_flags.train_config(parse(flag, command=MORE), WithMore)
    with pytest.raises(InvalidArgument, match="`beta` must be"):
        WithBeta(beta=2.0)
    assert "| `--beta` | `optimizer.beta` | `0.99` | a number in 0.5..1 | Of lion \\| tiger. |" in (
        table(WithMore)
    )
    other = dataclasses.replace(config, patience=5, optimizer=WithBeta(beta=0.5))
    there = json.loads(json.dumps(fingerprint(config)))
    assert differences(there, fingerprint(other)) == {"optimizer.beta": (0.75, 0.5)}
    # What was written before there was such a setting contradicts nothing.
    assert not differences(fingerprint(TrainConfig(epochs=3)), fingerprint(config))


def wrong_values(described):
    """Texts of a flag that its setting cannot have."""
    if described.path in TEXTS:
        return []
    if described.choices is not None:
        return ["nope"]
    if described.kind == "size":
        return ["-1", "5000", "big"]
    if described.kind is tuple:
        return ["0.1,x", "2"]
    if described.kind is bool:
        return ["maybe"]
    if described.kind is str:
        return [""]  # where the other settings need it
    beyond = [] if described.high == float("inf") else [str(described.high + 1)]
    endless = ["nan", "1e400"] if described.kind is float else []
    return [str((described.low or 0) - 1), "much", *beyond, *endless]


@pytest.mark.parametrize("path", SETTINGS)
def test_a_wrong_value_is_told_with_the_name_of_the_flag(parse, path):
    described = SETTINGS[path]
    for value in wrong_values(described):
        with pytest.raises((InvalidArgument, flags.IllegalFlagValueError)) as caught:
            launch_flags.train_config(parse("--workdir=x", f"--{described.flag}={value}"))
        assert f"--{described.flag}" in str(caught.value), value
    with pytest.raises(InvalidArgument, match=f"`{path}` must be"):
        described.check(object())


@pytest.mark.parametrize("path", [s.path for s in SETTINGS.values() if s.choices is not None])
def test_help_names_what_may_be_chosen_and_is_registered(parse, path, monkeypatch):
    described = SETTINGS[path]
    if isinstance(described.choices, registry.Registry):
        monkeypatch.setattr(described.choices, "_theirs", {"mine": None})
    said = parse("--workdir=x")[described.flag].help
    assert all(name in said for name in described.choices)
    assert ("mine" in said) == isinstance(described.choices, registry.Registry)


def test_the_table_in_the_documentation_is_that_of_the_settings(monkeypatch):
    for one in REGISTRIES:
        monkeypatch.setattr(one, "_theirs", {})
    stale = "python -m ran_tf.launch.flags > docs/settings.md"
    assert (ROOT / "docs" / "settings.md").read_text() == launch_flags.document(), stale


@pytest.mark.parametrize(
    ("described", "changed", "name"),
    [
        (TrainConfig(), dataclasses.replace(TrainConfig(), seed=1), "seed"),
        (AlignConfig(), AlignConfig(size=32), "size"),
        (
            ModelCard("d", ("a", "b"), (8, 8), RegionConfig(), {"size": (8, 8)}),
            ModelCard("d", ("a", "b"), (8, 8), RegionConfig(), {"size": (9, 8)}),
            "model.size",
        ),
        ({"a": {"b": (1, 2)}}, {"a": {"b": (1, 3)}}, "a.b"),
    ],
)
def test_a_fingerprint_read_from_json_is_the_same(described, changed, name):
    there = json.loads(json.dumps(fingerprint(described, faces=3)))
    assert there == fingerprint(described, faces=3)
    assert list(differences(there, fingerprint(changed, faces=3))) == [name]
    assert list(differences(there, fingerprint(described, faces=4))) == ["faces"]


def test_where_it_is_read_and_how_exactly_it_is_computed_make_no_other_run():
    run = TrainConfig()
    data = dataclasses.replace(run.data, data_dir="elsewhere", cache=False)
    assert fingerprint(run) == fingerprint(dataclasses.replace(run, data=data, deterministic=True))
