"""Presets: made by the command, loaded by name, folder, file and URL; those that are packaged."""

import contextlib
import dataclasses
import functools
import hashlib
import http.server
import json
import threading
import types

import numpy as np
import pytest

import ran_tf
from ran_tf.evaluation import model_card
from ran_tf.exports import export
from ran_tf.training import initialise
from ran_tf.weights import export_folder, fetch, preset_file, presets, records, sources
from ran_tf.weights.weights_file import weights_by_path
from tests.exports.test_export import make_card, make_model

PACKAGED = presets.known_presets()
KNOWN_FACES = "289fce1f41b33fd8"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    card = make_card(dataset="synthetic_faces")
    records.save_best(folder, model=make_model(), card=card, metrics={"epoch": 1})
    return folder


@pytest.fixture(scope="module")
def small(workdir, synthetic_dir, tmp_path_factory):
    """A folder of presets with one that is called `small`."""
    folder = tmp_path_factory.mktemp("presets")
    ran_tf.save_to_preset(
        workdir,
        folder / "small",
        measure="test[:24]",
        data_dir=synthetic_dir,
        backbone_origin="Nobody's weights.",
    )
    return folder / "small"


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        ([], "has no run.json"),
        ([None, None], "Random initialisation"),
        (["/home/me/faces.weights.h5"], "started from `faces.weights.h5`"),
        # Who resumes need not name them again.
        (["/home/me/faces.weights.h5", None], "started from `faces.weights.h5`"),
    ],
)
def test_the_card_says_where_training_started(starts, told):
    start = {"dataset": "d", "flags": {"train_split": "train", "validation_split": "validation"}}
    text = model_card.render(
        "name",
        card=make_card(dataset="synthetic_faces"),
        made={"weights_bytes": 1, "weights_sha256": "", "changed": 0, "count": 1, "split": "test"},
        starts=[{**start, "init_weights": name} for name in starts],
        report=None,
        mean={"": 1.0},
        backbone_origin=None,
    )
    assert told in text and "/home" not in text


@pytest.fixture
def packaged(small, monkeypatch):
    monkeypatch.setattr(presets, "FOLDER", small.parent)


def check_known_output(path):
    """The file is the one that its card names, and says what it said when it was made."""
    known = json.loads((path / preset_file.KNOWN).read_text())
    digest = hashlib.sha256((path / preset_file.WEIGHTS).read_bytes()).hexdigest()
    assert digest == known["weights_sha256"]
    assert digest in (path / preset_file.README).read_text()
    found = ran_tf.Predictor(path)(presets.known_faces())
    for name in ("probabilities", "weights"):
        for prediction, expected in zip(found, known[name], strict=True):
            np.testing.assert_allclose(getattr(prediction, name), expected, atol=2e-3)


def test_known_faces_never_change():
    faces = presets.known_faces()
    assert faces.shape == (4, 48, 48, 3) and (faces[0] == faces[0, ..., :1]).all()
    assert hashlib.sha256(faces.tobytes()).hexdigest().startswith(KNOWN_FACES)


def test_a_preset_is_the_model_rounded(small, packaged):
    model = ran_tf.from_preset("small")
    assert model.dtype_policy.name == "float32"
    by_path = ran_tf.from_preset(small)
    np.testing.assert_array_equal(by_path.classifier.kernel, model.classifier.kernel)
    for new, old in zip(model.weights, make_model().weights, strict=True):
        new, old = np.asarray(new), np.asarray(old)
        if old.ndim < 2:
            np.testing.assert_array_equal(new, old)
        else:
            np.testing.assert_array_equal(new, old.astype(np.float16).astype(np.float32))
    check_known_output(small)
    text = (small / preset_file.README).read_text()
    for wanted in ("## Not for", "research", "Nobody's weights.", "neutral, happiness", "SHA-256"):
        assert wanted in text
    card = presets.load_preset(small).card
    assert card.labels == ran_tf.LABELS["synthetic_faces"]
    assert card.colour == "rgb", "drawn faces have colour"


def test_every_door_takes_a_preset(small, packaged, synthetic_dir, tmp_path):
    predictor = ran_tf.Predictor("small")
    assert predictor.labels == ran_tf.LABELS["ferplus"]
    report = ran_tf.evaluate("small", "test[:16]", baseline=small, data_dir=synthetic_dir).numbers
    assert report["model"]["path"] == "small"
    assert report["differences"]["all"]["accuracy"] == 0.0
    target = ran_tf.RegionAttentionNetwork("tiny", num_classes=3, size=(32, 32))
    taken = initialise.init_weights(target, "small", labels=("neutral", "smiling", "sad"))
    assert taken.fresh == ("classifier/kernel", "classifier/bias")
    # Known classes in whatever order are taken by their names.
    taken = initialise.init_weights(target, "small", labels=("fear", "neutral", "anger"))
    assert not taken.fresh
    trained = ran_tf.from_preset("small").classifier
    columns = [ran_tf.LABELS["ferplus"].index(name) for name in ("fear", "neutral", "anger")]
    for new, old in zip(target.classifier.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(new, np.asarray(old)[..., columns])
    with pytest.raises(ValueError, match=r"cannot become a network. Received: source='.*export'"):
        (tmp_path / "export" / "1").mkdir(parents=True)
        (tmp_path / "export" / "1" / export_folder.SAVED_MODEL).touch()
        sources.load_trained(tmp_path / "export")


def test_export_of_a_preset_carries_its_card(small, packaged, tmp_path, monkeypatch):
    unchecked = functools.partial(export.write_export, check=False)
    monkeypatch.setattr(
        export,
        "write_export",
        lambda *a, **k: dataclasses.replace(unchecked(*a, **k), difference=0.0),
    )
    export.export("small", tmp_path)
    assert export.read_card(tmp_path / "1") == presets.load_preset(small).card


def test_unknown_names_name_the_known(packaged, tmp_path):
    with pytest.raises(ValueError, match=r"name of a preset \(small\).*Received: source='smal'"):
        ran_tf.from_preset("smal")
    with pytest.raises(ValueError, match=r"Received: source='.*note\.txt'"):
        ran_tf.from_preset(tmp_path / "note.txt")
    with pytest.raises(FileNotFoundError, match=r"preset \(small\).*source='smal', which does not"):
        ran_tf.Predictor("smal")
    (tmp_path / "note.txt").touch()
    with pytest.raises(ValueError, match=r"Received: source='.*note\.txt'"):
        sources.resolve(tmp_path / "note.txt")


def test_broken_presets(small, tmp_path):
    whole = (small / preset_file.WEIGHTS).read_bytes()
    for data in (b"version https://git-lfs", b"", whole[:-1], whole + b"x", b"PK\3\4"):
        (tmp_path / preset_file.WEIGHTS).write_bytes(data)
        with pytest.raises(ValueError, match="whole file of safetensors") as caught:
            presets.load_preset(tmp_path)
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / preset_file.WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        presets.load_preset(tmp_path)


def test_presets_from_before_safetensors_are_read(small, tmp_path):
    new = presets.load_preset(small)
    arrays = {name: np.asarray(v) for name, v in weights_by_path(new.model).items()}
    np.savez_compressed(tmp_path / "weights.npz", **arrays)
    with pytest.raises(FileNotFoundError, match=r"card\.json"):
        presets.load_preset(tmp_path)
    (tmp_path / "card.json").write_text(new.card.to_json())
    old = presets.load_preset(tmp_path)
    assert old.card == new.card and sources.resolve(tmp_path).kind == "preset"
    for one, other in zip(old.model.weights, new.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pack_refuses_what_float16_cannot_hold():
    model = ran_tf.RegionAttentionNetwork("tiny", size=(32, 32))
    model.classifier.kernel.assign(model.classifier.kernel + 1e5)
    with pytest.raises(ValueError, match="largest float16. Received: classifier/kernel"):
        presets.pack_weights(model, make_card())


@contextlib.contextmanager
def serve(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Nothing."""

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_file_and_its_url(small, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    name = preset_file.WEIGHTS
    digest = json.loads((small / preset_file.KNOWN).read_text())["weights_sha256"]
    kernel = presets.load_preset(small).model.classifier.kernel
    with serve(small) as address:
        url = f"{address}/{name}"
        for source in (small / name, f"{url}#sha256={digest}"):
            trained = sources.load_trained(source)
            np.testing.assert_array_equal(trained.model.classifier.kernel, kernel)
        with pytest.raises(ValueError, match="must end in #sha256="):
            sources.resolve(url)
        with pytest.raises(ValueError, match=f"nothing was kept. Received: {digest}"):
            fetch.fetch(f"{url}#sha256={'0' * 64}")
        with pytest.raises(OSError, match="cannot be downloaded: HTTP Error 404"):
            fetch.fetch(f"{address}/none#sha256={'0' * 64}")
    # From the cache: nobody answers any more.
    assert sources.resolve(f"{url}#sha256={digest}").kind == "preset"
    assert len(list((tmp_path / "home" / "ran_tf").iterdir())) == 1


def test_a_report_of_something_else_is_refused_before_the_work(tmp_path, monkeypatch):
    card = make_card(model={**make_card().model, "dtype": "mixed_bfloat16", "trunk": "full"})

    def never(*_, **__):
        raise AssertionError("the work began")

    class GoneOnError(Exception):
        pass

    def go_on(*_, **__):
        raise GoneOnError

    monkeypatch.setattr(presets, "pack_weights", never)
    monkeypatch.setenv("HOME", str(tmp_path))

    def make(report):
        (tmp_path / "report.json").write_text(json.dumps(report))
        network = types.SimpleNamespace(card=card)
        ran_tf.save_to_preset(network, tmp_path / "new", report="~/report.json")

    told = json.loads(card.to_json())
    subset = {"class_recall": [0.5] * len(card.labels)}
    good = {
        "model": {"card": told},
        "subsets": {"all": subset},
        "labels": told["labels"],
        "dataset": "d",
        "split": "test",
        "flip_average": False,
    }
    with pytest.raises(ValueError, match=r"report\.json must be .*it lacks dataset, split"):
        make({"rows": []})
    for wrong in ({"model": {}}, {"subsets": {}}, {"subsets": []}, {"model": {"card": None}}):
        with pytest.raises(ValueError, match=r"a report\.json of ran_tf\.launch\.evaluate"):
            make({**good, **wrong})
    other = {**told, "model": {**told["model"], "trunk": "shared"}}
    with pytest.raises(ValueError, match="trunk is 'shared' in the report and 'full' in the run"):
        make({**good, "model": {"card": other}})
    other = {**told, "regions": {**told["regions"], "kind": "random"}}
    with pytest.raises(ValueError, match=r"regions\.kind is 'random' in the report"):
        make({**good, "model": {"card": other}})
    with pytest.raises(ValueError, match="its classes differ"):
        make({**good, "labels": told["labels"][::-1]})
    # As `evaluate` computes, and from before there were shared trunks.
    old = {n: v for n, v in told["model"].items() if n != "trunk"} | {"dtype": "float32"}
    monkeypatch.setattr(presets, "pack_weights", go_on)
    for model in (told["model"], old):
        with pytest.raises(GoneOnError):
            make({**good, "model": {"card": {**told, "model": model}}})


def test_making_refuses_and_leaves_nothing(workdir, small, synthetic_dir, tmp_path, monkeypatch):
    with pytest.raises(FileExistsError, match="--overwrite"):
        ran_tf.save_to_preset(workdir, small)
    monkeypatch.setattr(
        presets, "known_faces", lambda: (_ for _ in ()).throw(RuntimeError("stopped"))
    )
    with pytest.raises(RuntimeError, match="stopped"):
        ran_tf.save_to_preset(workdir, tmp_path / "new", measure="test[:8]", data_dir=synthetic_dir)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_presets_say_what_they_said(name):
    path = presets.find_preset(name)
    assert sum(f.stat().st_size for f in path.iterdir()) < 15_100_000
    check_known_output(path)
    card = presets.load_preset(path).card
    assert card.labels == ran_tf.LABELS[card.family]
    assert (path / preset_file.README).is_file()
