"""Weights files: what the child copies, what it refuses, and that its death is one error."""

import h5py
import keras
import numpy as np
import pytest

import ran_tf
from ran_tf.safety import reader_process
from ran_tf.weights import weights_file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small file of Keras' own, with bfloat16 and float32, and the model."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.Dropout(0.1, seed=1),
            keras.layers.Dense(2, dtype="bfloat16"),
        ]
    )
    path = tmp_path_factory.mktemp("weights") / "x.weights.h5"
    weights_file.save(model, path, arguments={"preprocessing": "unit"})
    return path, model


def test_the_copy_is_what_keras_wrote(whole):
    path, model = whole
    twin = keras.models.clone_model(model)
    with weights_file.safe_copy(path) as file:
        twin.load_weights(file.path)
        assert file.arguments == {"preprocessing": "unit"}
        assert file.groups == {"layers", "vars"}
    assert not file.path.exists()
    for a, b in zip(twin.variables, model.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_layers_that_nobody_named_have_the_same_paths_in_every_network():
    """As those of Xception and InceptionV3, which Keras numbers through the process."""

    def build(pixels, *, synchronized):
        x = keras.layers.Conv2D(4, 3, strides=2)(pixels)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Conv2D(4, 3, strides=2, name="named_7")(x)
        x = keras.layers.Conv2D(4, 3, strides=2)(x)
        return keras.layers.GlobalAveragePooling2D()(x)

    ran_tf.register_backbone("unnamed", build)
    first, second = (ran_tf.RegionAttentionNetwork("unnamed", 3, size=(32, 32)) for _ in range(2))
    assert first.backbone.layers[-2].name != second.backbone.layers[-2].name
    named = weights_file.weights_by_path(first)
    assert list(named) == list(weights_file.weights_by_path(second))
    assert [n for n in named if n.endswith("kernel")][:3] == [
        "conv2d/kernel",
        "named_7/kernel",
        "conv2d_1/kernel",
    ]
    assert named["conv2d_1/kernel"] is first.backbone.layers[-2].kernel
    assert len(named) == len(weights_file.float_weights(first))


def _write(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)


def _filtered(file):
    """An array that HDF5 can read with a library alone that it would look for by a number."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(50_000, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4,))
    array = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, dcpl=properties)
    array.write_direct_chunk((0,), bytes(16))


REFUSED = {
    "numbers outside": (
        lambda f: f.create_dataset("x", (4,), "f4", external=[("/etc/hostname", 0, 16)]),
        "'/x' keeps its numbers in other files",
    ),
    "virtual": (
        lambda f: f.create_virtual_dataset("x", h5py.VirtualLayout((4,), "f4")),
        "'/x' keeps its numbers in other files",
    ),
    "a filter": (_filtered, "filter plugins disabled"),
    "zeros unfolded": (
        lambda f: f.create_dataset("x", (2**40,), "f4", chunks=(1024,), compression="gzip"),
        r"the arrays up to '/x' take more bytes than the file.*shape=\(1099511627776,\)",
    ),
    "nothing stored": (
        lambda f: f.create_dataset("x", (2**62, 2**62), "f8", chunks=(1, 1)),
        "more bytes than the file",
    ),
    "text": (lambda f: f.create_dataset("x", data=["a"]), "'/x' is not an array of numbers"),
    "a table": (lambda f: f.create_dataset("x", (2,), "f4,i4"), "'/x' is not an array of numbers"),
    "no arguments": (
        lambda f: f.attrs.update(ran_tf="[]"),
        r"`ran_tf` of .* must be a JSON object.*holds a list",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_weights_file_holds_is_refused(case, tmp_path, monkeypatch):
    fill, message = REFUSED[case]
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path / "none"))
    path = tmp_path / "x.weights.h5"
    _write(path, fill)
    with pytest.raises(ValueError, match=message) as caught, weights_file.safe_copy(path):
        pass
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "none.weights.h5"
    with (
        pytest.raises(FileNotFoundError, match=r"must exist\. Received: .*none\.weights"),
        weights_file.safe_copy(path),
    ):
        pass


def test_what_leads_elsewhere_is_left_out(tmp_path):
    def fill(file):
        file.create_dataset("layers/a", data=np.ones(3))
        file["layers"]["again"] = file["/"]
        file["soft"], file["far"] = h5py.SoftLink("/layers"), h5py.ExternalLink("y.h5", "/")
        file["type"] = np.dtype("f4")
        file.attrs["x"] = [1, 2]

    path = tmp_path / "x.weights.h5"
    _write(path, fill)
    _write(tmp_path / "y.h5", lambda file: file.create_dataset("secret", data=np.ones(3)))
    with weights_file.safe_copy(path) as copy, h5py.File(copy.path) as file:
        names = []
        file.visit(names.append)
        assert {"layers", "layers/a"} <= set(names) and "far" not in names and "soft" not in names
        assert not file.attrs and np.array_equal(file["layers/a"], np.ones(3))


# -- what may become of a child --------------------------------------------------------------------

DEATHS = {
    "crash": ("import os; os.abort()", "the process that read it died with SIGABRT: no message"),
    "exit": ("import sys; print('x', file=sys.stderr); sys.exit(3)", "with status 3: x"),
    "hang": ("import time; time.sleep(60)", "took more than 1 s"),
    "memory": ("x = bytearray(2**33)", r"more than 1,073,\d+,\d+ bytes of memory"),
    "disk": (
        # The limit is 2**26 and four times the file.
        "import sys\nopen(sys.argv[2], 'wb').truncate(2**27)",
        "File too large",
    ),
    "noise": ("while True: print('x' * 2**20)", "File too large"),
    "no error": ("print('{}'); raise SystemExit(1)", "died with status 1"),
}


@pytest.mark.parametrize("case", DEATHS)
def test_the_death_of_a_child_is_one_error(case, whole, tmp_path, monkeypatch):
    code, message = DEATHS[case]
    child = tmp_path / "child.py"
    child.write_text(code)
    monkeypatch.setattr(weights_file, "_CHILD", child)
    if case == "hang":
        monkeypatch.setattr(reader_process, "SECONDS", 0.5)
    expected = pytest.raises(ValueError, match=rf"x\.weights\.h5': .*{message}")
    with expected as caught, weights_file.safe_copy(whole[0]):
        pass
    assert "\n" not in str(caught.value)
