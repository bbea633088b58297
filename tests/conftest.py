"""What every test shares: two logical devices, so that replicas can be tested on one machine."""

import fcntl
import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

from tests.fixtures import tiny_backbone  # noqa: E402, F401, registers it


@pytest.fixture(autouse=True)
def plain_variables():
    """An error while TensorFlow traces a `map_fn` leaves a setting behind, at which scopes stop."""
    yield
    tf.compat.v1.get_variable_scope()._caching_device = None  # its setter refuses eager mode


@pytest.fixture(scope="session")
def two_replicas():
    """The strategy over both logical CPUs, that of everything which is given none."""
    from ran_tf.training import workers

    strategy = workers.local_strategy()
    assert strategy.num_replicas_in_sync == 2
    return strategy


@pytest.fixture(scope="session")
def synthetic_dir(tmp_path_factory):
    """A TFDS directory with a few hundred `synthetic_faces`, drawn once for all workers."""
    import tensorflow_datasets as tfds

    from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder as drawn

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    few = {
        "train": dict.fromkeys(drawn.KINDS, 8) | {"clean": 272},
        "validation": dict.fromkeys(drawn.KINDS, 8) | {"clean": 32},
        "test": dict.fromkeys(drawn.KINDS, 16),
    }
    with open(shared / "tfds.lock", "w") as lock, pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "SPLITS", few)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Does nothing where another worker has prepared it.
        tfds.builder("synthetic_faces", data_dir=shared / "tfds").download_and_prepare()
    return str(shared / "tfds")


@pytest.fixture
def parse(monkeypatch):
    """Parses arguments as a command would, the training command by default, with flags of its own.

    The command is a module of `ran_tf.launch`.
    """
    from absl import flags

    from ran_tf.launch import train

    original = {name: getattr(flags, name) for name in dir(flags) if name.startswith("DEFINE_")}

    def parse(*arguments, command=train):
        values = flags.FlagValues()
        monkeypatch.setattr(flags, "FLAGS", values)
        for name, function in original.items():
            monkeypatch.setattr(
                flags,
                name,
                lambda *a, _function=function, **k: _function(*a, **{"flag_values": values, **k}),
            )
        flags.DEFINE_multi_string("flagfile", [], "")
        command.define_flags()
        values(["command", *arguments])
        return values

    return parse


@pytest.fixture(scope="session")
def small_export(tmp_path_factory):
    """A checked export of a tiny network, written once for all test processes.

    `path`: EXPORT_DIR/1, `difference`: see `serving.export.Export`, `loaded`: the SavedModel.
    """
    import fcntl
    import types

    from ran_tf.exports import export
    from tests.exports.test_export import make_card, make_model

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small_export"
    with open(f"{shared}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = shared / "difference"
        if not note.exists():
            written = export.write_export(make_model(), make_card(), export_dir=shared)
            note.write_text(str(written.difference))
    return types.SimpleNamespace(
        path=shared / "1",
        difference=float(note.read_text()),
        loaded=tf.saved_model.load(str(shared / "1")),
    )
