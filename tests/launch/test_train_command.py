"""What the training command says around a run; `loop.train` itself has its own tests."""

import shlex

import pytest

from ran_tf import settings
from ran_tf.launch import flags as launch_flags
from ran_tf.launch import train
from ran_tf.training import loop


@pytest.fixture
def run(parse, tmp_path, monkeypatch, capsys):
    """Runs the command with flags, without training; returns what it prints."""
    workdir = tmp_path / "a run"
    (workdir / "tensorboard").mkdir(parents=True)

    def fake(config, folder, **_):
        assert folder == str(workdir)
        metrics = {"epoch": 3, "validation_accuracy": 0.5}
        return loop.TrainedRun(workdir=workdir, weights=workdir / "w.h5", metrics=metrics)

    monkeypatch.setattr(loop, "train", fake)

    def run(*arguments):
        parse(f"--workdir={workdir}", *arguments)
        train.main()
        return capsys.readouterr().out

    return run


def test_a_run_without_any_setting_is_pointed_to_a_recipe(run):
    assert "--flagfile=launch/quickstart.flags" in run()
    assert "--flagfile" not in run("--region_size=48")


def test_the_last_lines_say_what_there_is(run, tmp_path):
    said = run("--epochs=3").splitlines()
    assert "best epoch 3: validation accuracy 50.00%" in said
    (curves,) = [line for line in said if line.startswith("curves: ")]
    command = shlex.split(curves.partition(" (")[0])[1:]
    assert command == ["tensorboard", f"--logdir={tmp_path / 'a run' / 'tensorboard'}"]


def test_what_run_json_calls_flags_is_the_run_again(parse):
    given = parse(
        "--workdir=w", "--region_size=48", "--milestones=.2,.4", "--mixup=.2", "--nocache"
    )
    config = launch_flags.train_config(given)
    said = settings.by_flag(config)
    assert said["region_size"] == 48 and said["milestones"] == [0.2, 0.4] and said["mixup"] == 0.2
    texts = {n: ",".join(map(str, v)) if isinstance(v, list) else v for n, v in said.items()}
    again = parse("--workdir=w", *(f"--{n}={v}" for n, v in texts.items() if v is not None))
    assert launch_flags.train_config(again) == config
