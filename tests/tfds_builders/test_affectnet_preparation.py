"""How AffectNet is prepared: the same through Beam, and in memory that does not grow with it."""

import subprocess
import sys

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.fixtures import affectnet_files as files
from tests.fixtures.affectnet_builds import build, kept


@pytest.fixture
def numbered(tmp_path):
    return files.write_numbered(tmp_path / "raw")


@pytest.mark.filterwarnings("default")  # Beam's own
@pytest.mark.parametrize("config", ["numbered_8", "original_7"])
def test_a_beam_pipeline_makes_the_same_examples(tmp_path, caplog, config):
    reason = "needs Apache Beam: pip install '.[beam]'"
    pytest.importorskip("apache_beam", reason=reason)
    raw = files.write_lists(files.write_original(files.write_numbered(tmp_path / "raw")))
    plain = build(raw, tmp_path / "plain", config=config)
    with caplog.at_level("INFO", logger="absl"):
        piped = build(raw, tmp_path / "beam", config=config, beam_runner="DirectRunner")
    assert piped._use_beam and not plain._use_beam
    assert piped.info.splits.total_num_examples > 0
    for split in files.EXPRESSIONS:
        assert records(piped, split=split) == records(plain, split=split)
    assert piped.info.metadata == plain.info.metadata
    reread = tfds.builder(f"affectnet/{config}", data_dir=tmp_path / "beam").info.metadata
    assert reread["left_out"]["train"]["non-face"] == 1
    assert f"{config}: train: {len(kept('train', int(config[-1])))} faces" in caplog.text


def test_a_runner_without_beam_is_refused_with_the_remedy(tmp_path, numbered, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not installed
    message = (
        r'not installed: pip install "ran_tf\[beam\]", '
        r".*Received: beam_runner='DirectRunner'"
    )
    with pytest.raises(ModuleNotFoundError, match=message):
        build(numbered, tmp_path / "out", config="numbered_8", beam_runner="DirectRunner")


def records(builder, *, split):
    """Every stored example, in file order; parsed, as the order of its features is no one's."""
    paths = [str(path) for path in builder.info.splits[split].filepaths]
    return [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(paths).as_numpy_iterator()
    ]


@pytest.mark.large
@pytest.mark.parametrize("release", ["numbered", "original"])
def test_memory_does_not_grow_with_the_release(tmp_path, release):
    peak = {}
    for faces in (5_000, 50_000):
        command = [sys.executable, "-m", "tests.fixtures.affectnet_memory", release, str(faces)]
        run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
        peak[faces] = int(run.stdout.split()[-1])
    print(f"peak memory of a build, MiB by faces: {peak}")
    assert peak[50_000] < peak[5_000] + 60  # MiB; the rows of 45,000 more faces alone are 45
