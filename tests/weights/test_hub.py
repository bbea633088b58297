"""Presets on Hugging Face and Kaggle, against stand-ins of their clients' calls."""

import pathlib
import shutil
import sys
import types

import pytest

import ran_tf
from ran_tf.weights import presets

PRESET = presets.FOLDER / "ran_faceres_shared_ferplus"


def hugging_face(home: pathlib.Path):
    """`huggingface_hub`'s functions with their argument names, over folders of `home`."""

    def create_repo(repo_id, *, exist_ok=False):
        (home / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(*, repo_id, folder_path):
        shutil.copytree(folder_path, home / repo_id, dirs_exist_ok=True)

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None):
        if not (home / repo_id).is_dir() or revision not in (None, "v1"):
            raise LookupError(f"404: {repo_id}\nat {revision}")
        # As its cache has them: links, of the files that were asked for.
        cache = home / "cache" / repo_id
        cache.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (home / repo_id / name).is_file() and not (cache / name).exists():
                (cache / name).symlink_to(home / repo_id / name)
        return str(cache)

    return types.SimpleNamespace(
        create_repo=create_repo, upload_folder=upload_folder, snapshot_download=snapshot_download
    )


def kaggle(home: pathlib.Path):
    """`kagglehub`'s functions, likewise; every upload is a version."""

    def model_upload(handle, local_model_dir):
        versions = len(list((home / handle).glob("*")))
        shutil.copytree(local_model_dir, home / handle / str(versions + 1))

    def model_download(handle, path=None):
        parts = handle.split("/")
        found = home.joinpath(*parts)
        if len(parts) == 4:
            found = max(found.glob("*"), default=found)
        if not (found / path).is_file():
            raise LookupError("404")
        return str(found / path)

    return types.SimpleNamespace(model_upload=model_upload, model_download=model_download)


HUBS = {
    "hf://me/mine": ("huggingface_hub", hugging_face, "@v1"),
    "kaggle://me/ran/keras/mine": ("kagglehub", kaggle, "/1"),
}


@pytest.fixture(params=HUBS)
def hub(request, tmp_path, monkeypatch):
    module, make, version = HUBS[request.param]
    monkeypatch.setitem(sys.modules, module, make(tmp_path))
    return types.SimpleNamespace(address=request.param, version=version, home=tmp_path)


def uploaded(hub) -> pathlib.Path:
    return next(
        path.parent for path in hub.home.rglob("model.safetensors") if not path.is_symlink()
    )


def test_what_is_uploaded_comes_back(hub):
    ran_tf.upload_preset(hub.address, PRESET)
    assert {path.name for path in uploaded(hub).iterdir()} == {
        "README.md",
        "known_output.json",
        "model.safetensors",
    }
    for address in (hub.address, hub.address + hub.version):
        card = ran_tf.from_preset(address).card
        assert card == presets.read_card(PRESET)
    ran_tf.upload_preset(hub.address, PRESET)  # a second time
    readme = (uploaded(hub) / "README.md").read_text()
    assert readme.count("library_name: ran_tf") == hub.address.startswith("hf")
    assert "## Not for" in readme


def test_what_a_stranger_keeps_there_is_read_as_a_strangers(hub):
    ran_tf.upload_preset(hub.address, PRESET)
    (uploaded(hub) / "model.safetensors").write_bytes(b"\x80\x04pickled")
    with pytest.raises(ValueError, match="must be a whole file of safetensors"):
        ran_tf.from_preset(hub.address)


def test_what_is_not_there_is_one_error(hub):
    with pytest.raises(OSError, match=f"{hub.address}: LookupError: 404"):
        ran_tf.from_preset(hub.address)
    for wrong in ("/../..", "/a b", "?x=1"):
        with pytest.raises(ValueError, match="must be .*Received"):
            ran_tf.from_preset(hub.address + wrong)
    with pytest.raises(ValueError, match="not name a version"):
        ran_tf.upload_preset(hub.address + hub.version, PRESET)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        ran_tf.upload_preset(hub.address, hub.home)


@pytest.mark.parametrize("address", HUBS)
def test_without_the_client_the_extra_is_named(address, monkeypatch):
    monkeypatch.setitem(sys.modules, HUBS[address][0], None)
    with pytest.raises(RuntimeError, match=r"ran_tf\[hub\]"):
        ran_tf.from_preset(address)
