"""Nothing is fetched at import, nor without being asked."""

from tests.fixtures.commands import run_python

# Every way out of the process goes by one of these, C libraries' own excepted.
CODE = """
import importlib, pkgutil, socket, sys, urllib.request
import numpy as np

def refuse(*arguments, **_):
    asked.append(arguments[-1] if arguments else None)
    raise OSError(f"a connection that nobody asked for: {arguments}")

asked = []
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse

import ran_tf, tfds_builders

skipped = []
for package in (ran_tf, tfds_builders):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.endswith("_child"):
            continue
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            skipped.append(f"{module.name}: {error.name}")

model = ran_tf.RegionAttentionNetwork("mobilenet_v1", num_classes=8, size=(32, 32))
model({"image": np.zeros((1, 32, 32, 3), np.uint8), "boxes": ran_tf.fixed_boxes()[None]})
predictor = ran_tf.Predictor("ran_faceres_ferplus")
predictor([np.zeros((48, 48, 3), np.uint8)])
print(*skipped, sep="\\n")
if asked:
    sys.exit(f"asked for {asked}")
try:
    urllib.request.urlopen("http://example.invalid")
except OSError:
    pass
sys.exit(0 if asked else "this test does not see connections")
"""
# Modules of the extras, which may be missing where tests run.
EXTRAS = {
    *(
        "apache_beam",
        "av",
        "fastapi",
        "gradio",
        "huggingface_hub",
        "kagglehub",
        "playwright",
        "openvino",
    ),
    *("onnxruntime", "torch"),
    *("grpc", "h11", "msgspec", "starlette", "tensorflow_serving", "uvicorn"),
}


def test_nothing_is_fetched_unasked(tmp_path):
    # Homes of their own: a download of an earlier day must not hide that one is needed.
    done = run_python("-c", CODE, cwd=tmp_path, KERAS_HOME=tmp_path, HOME=tmp_path)
    missing = {line.split(": ")[1].split(".")[0] for line in done.stdout.split("\n") if line}
    assert missing <= EXTRAS
    # retina-face would put its weights there.
    assert not (tmp_path / ".deepface").exists()


def test_onnx_runtime_reports_to_nobody(tmp_path, monkeypatch):
    # Its telemetry begins with a file of the session in the folder for temporary files.
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run_python("-c", "import ran_tf, onnxruntime")
    assert not list(tmp_path.iterdir())
