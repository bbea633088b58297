"""Tensors in gRPC requests that claim more than they hold, or are none."""

import math
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2

from ran_tf.serving import batches, service
from tests.exports.test_export import random_faces
from tests.fixtures.hostile import assert_one_line, hostile

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving")

from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # noqa: E402

from ran_tf.serving import grpc_service  # noqa: E402

MOST = 2**20
STRING = types_pb2.DT_STRING
VALUES = {
    "int_val": [3],
    "float_val": [0.5],
    "string_val": [b"a" * 1000],
    "half_val": [1],
    "scomplex_val": [1.0, 2.0],
    "tensor_content": b"12345678",
}


def proto(dtype, sizes, *, unknown_rank=False, **values):
    shape = {"dim": [{"size": size} for size in sizes], "unknown_rank": unknown_rank}
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **values)


sides = st.integers(0, 5) | st.sampled_from([-1, 2**20, 2**31, 2**32, 2**62, 2**63 - 1])


@hostile(300)
@given(
    dtype=st.sampled_from([*types_pb2.DataType.values(), 77]),
    sizes=st.lists(sides, max_size=5),
    values=st.sampled_from([{}, *({name: value} for name, value in VALUES.items())]),
    unknown_rank=st.booleans(),
)
@example(dtype=types_pb2.DT_UINT8, sizes=[2**20] * 3, values={"int_val": [3]}, unknown_rank=False)
@example(dtype=types_pb2.DT_UINT8, sizes=[1, 1000, 2000], values={}, unknown_rank=False)
@example(dtype=types_pb2.DT_UINT8, sizes=[1], values={"int_val": [300]}, unknown_rank=False)
@example(dtype=types_pb2.DT_VARIANT, sizes=[], values={}, unknown_rank=False)
@example(dtype=types_pb2.DT_UINT8, sizes=[], values={"int_val": [3]}, unknown_rank=True)
@example(dtype=types_pb2.DT_UINT8, sizes=[1] * 65, values={"int_val": [3]}, unknown_rank=False)
@example(dtype=STRING, sizes=[2**20], values={}, unknown_rank=False)
@example(dtype=STRING, sizes=[2000], values={"string_val": [b"a" * 1000]}, unknown_rank=False)
def test_tensors_take_no_more_than_is_allowed(dtype, sizes, values, unknown_rank):
    tensor = proto(dtype, sizes, unknown_rank=unknown_rank, **values)
    try:
        array = grpc_service.to_arrays({"x": tensor}, most_bytes=MOST)["x"]
    except service.BadRequestError as error:
        assert_one_line(error, "not tensors: ")
        return
    assert list(array.shape) == sizes and not unknown_rank
    assert (sum(map(len, array.flat)) if dtype == STRING else array.nbytes) <= MOST
    assert array.size == math.prod(sizes)


def test_what_stays_within_the_limit_is_read():
    ones = grpc_service.to_arrays(
        {"x": proto(types_pb2.DT_FLOAT, [64, 2, 2**11], float_val=[1.0])}, most_bytes=MOST
    )
    np.testing.assert_array_equal(ones["x"], np.ones((64, 2, 2**11), np.float32))
    half = proto(types_pb2.DT_UINT8, [MOST // 2 + 1], int_val=[1])
    assert grpc_service.to_arrays({"a": half}, most_bytes=MOST)["a"].all()
    with pytest.raises(service.BadRequestError, match="at most 1,048,576 bytes. Received: 1,048,5"):
        grpc_service.to_arrays({"a": half, "b": half}, most_bytes=MOST)
    image = bytes(MOST - 20)
    made = grpc_service.to_arrays({"x": tf.make_tensor_proto([image, b""])}, most_bytes=MOST)
    assert list(made["x"]) == [image, b""]


def test_a_server_says_whose_fault_it_is(small_export, monkeypatch):
    model = service.ModelService(small_export.path)
    bound = grpc_service.make_server(model, host="127.0.0.1", port=0, max_request_bytes=MOST)
    bound["server"].start()
    with grpc.insecure_channel(f"127.0.0.1:{bound['port']}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def predict(tensor):
            request = predict_pb2.PredictRequest(
                model_spec={"name": "ran", "signature_name": "images"}, inputs={"images": tensor}
            )
            return stub.Predict(request, timeout=60)

        def refuses(tensor):
            with pytest.raises(grpc.RpcError) as caught:
                predict(tensor)
            return caught.value.code()

        for sizes in ([1, 1000, 500, 3], [2**20, 2**20, 2**20, 3], [0, 2**62, 2**62, 3], [-1]):
            tensor = proto(types_pb2.DT_UINT8, sizes, int_val=[3])
            assert refuses(tensor) == grpc.StatusCode.INVALID_ARGUMENT, sizes
        face = tf.make_tensor_proto(random_faces(1, 9, 7))
        assert len(predict(face).outputs) == 4
        with monkeypatch.context() as patch:
            patch.setattr(model, "predict", lambda *_, **__: np.empty(2**50))
            assert refuses(face) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(predict(face).outputs) == 4
    bound["server"].stop(None).wait()


def test_no_more_large_requests_are_unpacked_than_are_answered(small_export, monkeypatch):
    model = service.ModelService(small_export.path)
    monkeypatch.setattr(batches, "MOST_BYTES", 100)
    unpacked, to_arrays = [], grpc_service.to_arrays

    def counted(tensors, *, most_bytes):
        unpacked.append(to_arrays(tensors, most_bytes=most_bytes))
        return unpacked[-1]

    monkeypatch.setattr(grpc_service, "to_arrays", counted)
    bound = grpc_service.make_server(model, host="127.0.0.1", port=0, max_request_bytes=MOST)
    bound["server"].start()
    with grpc.insecure_channel(f"127.0.0.1:{bound['port']}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def ask(side):
            face = proto(types_pb2.DT_UINT8, [1, side, side, 3], int_val=[3])
            spec = {"name": "ran", "signature_name": "images"}
            request = predict_pb2.PredictRequest(model_spec=spec, inputs={"images": face})
            return stub.Predict.future(request, timeout=60)

        with model.turn, model.turn:
            large = [ask(200) for _ in range(5)]
            small = [ask(4) for _ in range(5)]
            deadline = time.monotonic() + 20
            while len(unpacked) < 7:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(0.1)
            sides = sorted(arrays["images"].shape[1] for arrays in unpacked)
            assert sides == [4] * 5 + [200] * model.parallel
        for asked in (*large, *small):
            assert len(asked.result().outputs) == 4
    bound["server"].stop(None).wait()
