"""Requests that TensorFlow Serving makes of a version before it answers the first client.

It reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord of
`tensorflow.serving.PredictionLog`. TensorFlow has the tensors in it but not the messages round
them, which are three deep; they are written here by hand, so that an export needs no package more.

    PredictionLog { predict_log = 6 }  PredictLog { request = 1 }
    PredictRequest { model_spec = 1, inputs = 2: map<string, TensorProto> }
    ModelSpec { signature_name = 3 }    a map's entry { key = 1, value = 2 }
"""

import pathlib

import tensorflow as tf

FOLDER, FILE = "assets.extra", "tf_serving_warmup_requests"


def write_warmup(version_dir: pathlib.Path, requests: dict[str, dict]) -> None:
    """Writes one request for each signature.

    Args:
      version_dir: of a SavedModel.
      requests: signature -> {argument: array}.
    """
    folder = version_dir / FOLDER
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature, inputs in requests.items():
            writer.write(_prediction_log(inputs, signature=signature))


def _prediction_log(inputs: dict, *, signature: str) -> bytes:
    # No name: a version is served under the name that the server gives it.
    request = _field(1, _field(3, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field in Protocol Buffers' wire format."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + [groups[-1]])
