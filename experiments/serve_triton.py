"""An export behind NVIDIA's Triton Inference Server, and its answers beside TensorFlow's own.

    python -m venv triton && triton/bin/pip install nvidia-pytriton "tensorflow>=2.21,<2.22"
    triton/bin/python experiments/serve_triton.py --model_dir=EXPORT_DIR/VERSION

In an environment of its own: PyTriton, which brings the server as a program, wants NumPy 1, and
neither Keras nor ran_tf is needed. That server has no TensorFlow backend any more, so its Python
backend calls the signatures; it batches the requests of several clients. Asks over REST and gRPC,
exit status 1 if an answer is wrong or a bad image spoils more than its own request.
"""

import argparse
import concurrent.futures
import os
import socket
import sys
import sysconfig

import numpy as np
import tensorflow as tf
import tritonclient.grpc
import tritonclient.http
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

_OUTPUTS = {"probabilities": np.float32, "label": np.int64, "weights": np.float32}
# Requests of several clients wait so long for each other.
_BATCHER = DynamicBatcher(max_queue_delay_microseconds=2000)


def bind(triton: Triton, loaded) -> None:
    """Serves `serving_default` as model "ran", and `images` as "ran_images"."""

    def from_bytes(requests):
        answers = []
        for request in requests:
            data = tf.constant(request["image_bytes"].tolist())
            outputs = loaded.signatures["serving_default"](image_bytes=data)
            answers.append({name: outputs[name].numpy() for name in _OUTPUTS})
        return answers

    @batch
    def from_images(images):
        outputs = loaded.signatures["images"](images=tf.constant(images))
        # Triton's tensors have an axis besides that of a batch.
        return {name: outputs[name].numpy().reshape(len(images), -1) for name in _OUTPUTS}

    def outputs(shapes: dict) -> list[Tensor]:
        return [Tensor(name=n, dtype=_OUTPUTS[n], shape=shape) for n, shape in shapes.items()]

    triton.bind(
        model_name="ran",
        infer_func=from_bytes,
        inputs=[Tensor(name="image_bytes", dtype=bytes, shape=(-1,))],
        outputs=outputs({"probabilities": (-1, -1), "label": (-1,), "weights": (-1, -1)}),
        # One bad image would fail all that is batched with it.
        config=ModelConfig(batching=False),
    )
    triton.bind(
        model_name="ran_images",
        infer_func=from_images,
        inputs=[Tensor(name="images", dtype=np.uint8, shape=(-1, -1, 3))],
        outputs=outputs(dict.fromkeys(_OUTPUTS, (-1,))),
        config=ModelConfig(max_batch_size=32, batcher=_BATCHER),
    )


def ask(kind, client, name: str, value: np.ndarray) -> dict:
    """output -> array, of a model asked over `tritonclient.http` or `.grpc`."""
    datatype = "BYTES" if value.dtype == np.object_ else "UINT8"
    argument = "image_bytes" if name == "ran" else "images"
    sent = kind.InferInput(argument, value.shape, datatype)
    sent.set_data_from_numpy(value)
    answer = client.infer(name, [sent])
    return {output: answer.as_numpy(output) for output in _OUTPUTS}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def check(loaded, *, ports: dict) -> float:
    """Largest difference of an answer from TensorFlow's.

    Raises:
      AssertionError: if a bad image is answered, or a good one beside it is not.
    """
    faces = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    want = loaded.signatures["images"](images=tf.constant(faces))
    pngs = [tf.io.encode_png(face).numpy() for face in faces]

    def one(i):
        """Face i in a request of its own, over either protocol, and a bad image after it."""
        kind = (tritonclient.http, tritonclient.grpc)[i % 2]
        url = f"127.0.0.1:{ports['http' if i % 2 == 0 else 'grpc']}"
        client = kind.InferenceServerClient(url)
        differences = []
        for name, value in (
            ("ran", np.array([pngs[i]], np.object_)),
            ("ran_images", faces[i : i + 1]),
        ):
            got = ask(kind, client, name, value)
            differences += [np.abs(got[o].ravel() - want[o][i].numpy()).max() for o in _OUTPUTS]
        try:
            ask(kind, client, "ran", np.array([pngs[i][:-12]], np.object_))
        except tritonclient.utils.InferenceServerException as error:
            assert "PNG" in str(error), error
        else:
            raise AssertionError("a truncated image was answered")
        client.close()
        return max(differences)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return float(max(pool.map(one, range(len(faces)))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True, help="one version of an export")
    arguments = parser.parse_args()
    # The server looks for a libpython by itself, and another one than ours lacks our modules.
    os.environ.setdefault("LD_LIBRARY_PATH", sysconfig.get_config_var("LIBDIR"))
    loaded = tf.saved_model.load(arguments.model_dir)
    ports = {name: free_port() for name in ("http", "grpc", "metrics")}
    config = TritonConfig(
        http_address="127.0.0.1",
        **{f"{name}_port": port for name, port in ports.items()},
    )
    with Triton(config=config) as triton:
        bind(triton, loaded)
        triton.run()
        client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{ports['http']}")
        about = client.get_server_metadata()
        client.close()
        worst = check(loaded, ports=ports)
    print(f"{about['name']} {about['version']}: answers differ by at most {worst:.1e}")
    return int(not worst < 1e-4)


if __name__ == "__main__":
    sys.exit(main())
