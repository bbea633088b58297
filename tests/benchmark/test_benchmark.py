"""Every suite measures something at a tiny size; no time is asserted."""

import json

import pytest

from ran_tf.benchmark import crop, plans, step
from ran_tf.benchmark import input as input_suite
from ran_tf.launch import benchmark


def test_step_rows():
    plan = plans.Step(
        backbone="tiny",
        region_size=32,
        image_size=24,
        num_regions=(1, 3),
        batch_size=(2,),
        dtype=("float32",),
        warmup=1,
        repeats=2,
    )
    rows = step.measure(plan)
    assert [(row["regions"], row["batch"], row["dtype"]) for row in rows] == [
        (1, 2, "float32"),
        (3, 2, "float32"),
    ]
    for row in rows:
        assert row["crops_per_s"] == pytest.approx(row["regions"] * row["faces_per_s"])
        assert row["faces_per_s"] == pytest.approx(2 / (row["ms"] / 1e3))


@pytest.mark.large
@pytest.mark.parametrize("sync_batch_norm", [True, False])
def test_batch_statistics_of_replicas_are_those_that_the_plan_asks_for(sync_batch_norm):
    plan = plans.Step(
        backbone="tiny",
        region_size=32,
        image_size=32,
        replicas=2,
        sync_batch_norm=sync_batch_norm,
        warmup=0,
        repeats=1,
    )
    state, _ = step.time_step(plan, k=1, batch=4, dtype="float32")
    assert state.model.get_config()["synchronized"] is sync_batch_norm


def test_crop_rows():
    plan = plans.Crop(
        batch_size=2,
        num_regions=3,
        image_size=24,
        region_size=32,
        backbone="tiny",
        dtype="float32",
        step_batch=2,
        warmup=1,
        repeats=2,
    )
    rows = crop.measure(plan)
    assert [r["implementation"] for r in rows] == ["crop_and_resize", "gather", "gather, XLA"]
    assert rows[0]["over_kernel"] == 1.0
    assert all(row["share_of_step"] > 0 for row in rows)


@pytest.mark.large
def test_input_rows(synthetic_dir):
    plan = plans.Input(
        data_dir=synthetic_dir,
        split="train[:96]",
        image_size=32,
        batch_size=16,
        repeats=1,
        region_size=32,
        wait_steps=2,
    )
    rows = input_suite.measure(plan)
    assert [row["loader"] for row in rows[:2]] == ["cached", "uncached"]
    assert all(row["faces_per_core_s"] > 0 for row in rows[:-1])
    assert 0 <= rows[-1]["waiting_share"] < 1
    assert rows[-1]["faces"] == 2 * 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--suite=step --num_regions=six", "`--num_regions` must be whole numbers.*six"),
        ("--suite=step --batch_size=8,0", "`--batch_size` must be.*0"),
        ("--suite=step --dtype=float32,bf16", "`--dtype` must be one of.*bf16"),
        ("--suite=input --warmup=3", "it belongs to --suite=step"),
        ("--suite=crop --replicas=2", "--replicas must be left out with --suite=crop"),
        ("--suite=step --dataset=ferplus", "--dataset must be.*it belongs to --suite=input"),
        ("--suite=crop --batch_size=1,2", "--batch_size` must be one value with this suite"),
    ],
)
def test_a_flag_that_would_be_ignored_and_a_value_that_is_none_are_named(parse, arguments, message):
    parse(*arguments.split(), "--out=x.json", command=benchmark)
    with pytest.raises(ValueError, match=message):
        benchmark.main()


def test_the_command_writes_json(tmp_path, parse, capsys):
    path = tmp_path / "crop.json"
    tiny = ("--batch_size=1", "--region_size=16", "--image_size=16", "--step_batch=0")
    parse("--suite=crop", f"--out={path}", "--warmup=0", "--repeats=1", *tiny, command=benchmark)
    benchmark.main()
    result = json.loads(path.read_text())
    assert result["suite"] == "crop" and len(result["rows"]) == 3
    assert result["plan"]["num_regions"] == 6 and result["machine"]["cpus"] > 0
    assert "crop_and_resize" in capsys.readouterr().out
