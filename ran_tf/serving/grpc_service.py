"""TensorFlow Serving's gRPC interface: PredictionService.Predict, GetModelMetadata, and the
ModelService's GetModelStatus. Needs the extra `serve`.
"""

import concurrent.futures
import contextlib
import math
import threading
from collections.abc import Mapping

import grpc
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ran_tf.serving import batches
from ran_tf.serving import service as model_service

_MOST_AXES = 64  # of a NumPy array
# Requests at once, each with its bytes in memory; further ones are RESOURCE_EXHAUSTED.
_MOST_REQUESTS = 64
# The trailing metadata that says of a request's images what `Answer.note` does.
_NOTE = "ran-note"


def make_server(
    service: model_service.ModelService, *, host: str, port: int, max_request_bytes: int
) -> dict:
    """A server that is bound and not yet running.

    Args:
      service: what answers.
      host: address to listen on.
      port: 0 is any that is free.
      max_request_bytes: longer requests are refused, and those whose tensors would take more.

    Returns:
      {"server": `grpc.Server`, "port": int}.

    Raises:
      OSError: if the port cannot be had.
    """
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(batches.MOST_WAITING),
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            # Two servers on one port would share its requests without a word.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=_MOST_REQUESTS,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(service, most_bytes=max_request_bytes), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(service), server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on --grpc_port={port} of --host={host}: {error}. Choose another port, "
            "or --grpc_port=0 for any free port"
        ) from error
    return {"server": server, "port": bound}


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: model_service.ModelService, *, most_bytes: int):
        self._service, self._most_bytes = service, most_bytes
        # A tensor of a few bytes may claim to be large.
        self._large = threading.BoundedSemaphore(service.parallel)

    def Predict(self, request, context):
        def answer():
            signature = request.model_spec.signature_name or model_service.DEFAULT_SIGNATURE
            claimed = claimed_bytes(request.inputs, most_bytes=self._most_bytes)
            # Small ones are unpacked while they wait, to be joined to others.
            with self._large if claimed > batches.MOST_BYTES else contextlib.nullcontext():
                inputs = to_arrays(request.inputs, most_bytes=self._most_bytes)
                answer = self._service.predict(inputs, signature=signature)
            if answer.note:
                context.set_trailing_metadata([(_NOTE, answer.note)])
            response = predict_pb2.PredictResponse()
            self._fill(response.model_spec, signature=signature)
            for name, value in answer.outputs.items():
                if not request.output_filter or name in request.output_filter:
                    response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

        return _guard(self._service, request.model_spec, context, answer)

    def GetModelMetadata(self, request, context):
        def answer():
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            self._fill(response.model_spec, signature="")
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, value in self._service.signature_def.items():
                signatures.signature_def[name].CopyFrom(value)
            response.metadata["signature_def"].Pack(signatures)
            return response

        return _guard(self._service, request.model_spec, context, answer)

    def _fill(self, spec, *, signature: str) -> None:
        spec.name, spec.signature_name = self._service.name, signature
        spec.version.value = self._service.version


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: model_service.ModelService):
        self._service = service

    def GetModelStatus(self, request, context):
        def answer():
            response = get_model_status_pb2.GetModelStatusResponse()
            response.model_version_status.add(
                version=self._service.version,
                state=get_model_status_pb2.ModelVersionStatus.AVAILABLE,
            )
            return response

        return _guard(self._service, request.model_spec, context, answer)


def _guard(service: model_service.ModelService, spec, context, answer):
    version = spec.version.value if spec.HasField("version") else None
    try:
        service.find(name=spec.name, version=version)
        return answer()
    except model_service.NotServedError as error:
        return context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except model_service.BadRequestError as error:
        return context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except MemoryError as error:
        return context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"out of memory: {error}")


def to_arrays(tensors: Mapping[str, tensor_pb2.TensorProto], *, most_bytes: int) -> dict:
    """The tensors of a request as arrays.

    Raises:
      BadRequestError: for what is no tensor, or if they would take more than `most_bytes`.
    """
    claimed_bytes(tensors, most_bytes=most_bytes)
    with _blaming_the_request():
        return {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}


def claimed_bytes(tensors: Mapping[str, tensor_pb2.TensorProto], *, most_bytes: int) -> int:
    """What the tensors of a request will take as arrays. Raises as `to_arrays` does."""
    with _blaming_the_request():
        claimed = sum(_claimed_bytes(tensor) for tensor in tensors.values())
        if claimed > most_bytes:
            raise ValueError(f"they must take at most {most_bytes:,} bytes. Received: {claimed:,}")
        return claimed


@contextlib.contextmanager
def _blaming_the_request():
    try:
        yield
    # The last two of numbers that the type does not hold, and of types that are no values.
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        raise model_service.BadRequestError(f"not tensors: {error}") from error


def _claimed_bytes(tensor: tensor_pb2.TensorProto) -> int:
    """What a tensor takes as an array: its last value stands for all that its shape has beyond."""
    shape = tensor.tensor_shape
    sizes = [axis.size for axis in shape.dim[: _MOST_AXES + 1]]
    if shape.unknown_rank or len(sizes) > _MOST_AXES or min(sizes, default=0) < 0:
        raise ValueError(
            f"a shape must have at most {_MOST_AXES} sizes, each at least 0. Received: {sizes}"
        )
    count, dtype = math.prod(sizes), tf.as_dtype(tensor.dtype)
    if dtype != tf.string:
        return count * dtype.size
    texts = tensor.string_val
    repeated = len(texts[-1]) if texts else 0
    pointer = 8
    return sum(map(len, texts)) + max(0, count - len(texts)) * (repeated + pointer)
