"""Presets where models are kept: Hugging Face (`hf://ORG/NAME`) and Kaggle (`kaggle://...`).

Their clients come with the extra `hub` and are imported on use. What they download is a stranger's,
and read as any preset is: nothing but its three files is fetched, and no archive is unpacked.
"""

import importlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from ran_tf.weights import preset_file

HF, KAGGLE = "hf://", "kaggle://"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
# Kaggle counts versions; Hugging Face takes a commit, branch or tag.
_FORMS = {
    HF: (rf"({_NAME}/{_NAME})(?:@({_NAME}))?", "hf://ORG/NAME, perhaps with @REVISION"),
    KAGGLE: (
        rf"({_NAME}/{_NAME}/{_NAME}/{_NAME})(?:/([0-9]+))?",
        "kaggle://OWNER/MODEL/FRAMEWORK/VARIATION, perhaps with /VERSION",
    ),
}
# What Hugging Face reads of a README: it finds models by these, and says what may be done.
_FRONT_MATTER = """---
library_name: ran_tf
pipeline_tag: image-classification
license: other
license_name: research-only
tags:
- facial-expression-recognition
- keras
---

"""


def is_hub(source: str | os.PathLike) -> bool:
    """Whether a source names one of the hubs."""
    return str(source).startswith((HF, KAGGLE))


def download(address: str) -> pathlib.Path:
    """Brings a preset here, once: the clients keep what they have fetched.

    Args:
      address: `hf://ORG/NAME[@REVISION]` or `kaggle://OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION]`.

    Returns:
      Its folder.

    Raises:
      ValueError: for another address.
      RuntimeError: without the client.
      OSError: if there is no such preset, or it cannot be reached.
    """
    scheme, name, version = _parse(address)
    client = _client(scheme)
    if scheme == HF:
        return pathlib.Path(
            _call(
                address,
                client.snapshot_download,
                repo_id=name,
                revision=version,
                allow_patterns=list(preset_file.FILES),
            )
        )
    handle = f"{name}/{version}" if version else name
    found = {
        file: pathlib.Path(_call(address, client.model_download, handle, path=file))
        for file in preset_file.FILES
    }
    return found[preset_file.WEIGHTS].parent


def upload(address: str, folder: pathlib.Path) -> None:
    """Sends the three files of a preset's folder, with what the hub reads of the README."""
    scheme, name, version = _parse(address)
    if version:
        raise ValueError(
            "`address` must not name a version, because the hub makes a new one. Received: "
            f"{address!r}"
        )
    client = _client(scheme)
    with tempfile.TemporaryDirectory(prefix="ran_tf_upload_") as staged:
        for file in preset_file.FILES:
            shutil.copyfile(folder / file, pathlib.Path(staged) / file)
        if scheme == KAGGLE:
            _call(address, client.model_upload, name, staged)
            return
        readme = pathlib.Path(staged) / preset_file.README
        text = readme.read_text(encoding="utf-8")
        if not text.startswith("---\n"):
            readme.write_text(_FRONT_MATTER + text, encoding="utf-8")
        _call(address, client.create_repo, repo_id=name, exist_ok=True)
        _call(address, client.upload_folder, repo_id=name, folder_path=staged)


def _parse(address: str) -> tuple[str, str, str | None]:
    """(scheme, name, version) of an address."""
    for scheme, (form, wanted) in _FORMS.items():
        if address.startswith(scheme):
            found = re.fullmatch(form, address.removeprefix(scheme))
            if found:
                return scheme, found[1], found[2]
            raise ValueError(f"an address must be {wanted}. Received: {address!r}")
    wanted = "; or ".join(wanted for _, wanted in _FORMS.values())
    raise ValueError(f"`address` must be {wanted}. Received: {address!r}")


def _client(scheme: str) -> Any:
    module = {HF: "huggingface_hub", KAGGLE: "kagglehub"}[scheme]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RuntimeError(
            f'{scheme} needs {module}: pip install "ran_tf[hub]". Received: {error}'
        ) from error


def _call(address: str, function: Callable, *args, **kwargs) -> Any:
    try:
        return function(*args, **kwargs)
    # The clients have errors of many kinds: of HTTP, of names, of rights.
    except Exception as error:
        said = " ".join(str(error).split())[:500]
        raise OSError(f"{address}: {type(error).__name__}: {said}") from error
