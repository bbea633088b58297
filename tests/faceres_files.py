"""Made-up weights in the real layout of FaceRes, and how alike two networks of them are."""

import json
from pathlib import Path

import cv2
import numpy as np

FILTERS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
SIZE = (64, 64)


def made_up_tensors(rng) -> dict[str, np.ndarray]:
    def normal(*shape, gain=1.0):
        fan_in = np.prod(shape[:-1]) if shape[-1] != 1 else 9
        return (rng.standard_normal(shape) * gain * np.sqrt(2 / fan_in)).astype("float32")

    tensors = {}
    for head, shape in {
        "age_pred": (256, 100),
        "feats": (1024, 256),
        "gender_pred": (256, 1),
    }.items():
        tensors[f"{head}/kernel"] = normal(*shape)
        tensors[f"{head}/bias"] = np.zeros(shape[1], "float32")

    def shift_and_limits(conv, channels):
        shift = rng.normal(0.5, 0.5, channels).astype("float32")
        tensors[f"{conv}_bn/batchnorm_1/sub"] = shift
        tensors[f"{conv}_relu/Cast"] = np.float32(6).reshape(())
        tensors[f"{conv}_relu/Const_1"] = np.float32(0).reshape(())

    tensors["conv1/convolution/merged_input"] = normal(3, 3, 3, 32, gain=0.02)
    shift_and_limits("conv1", 32)
    for i, (before, after) in enumerate(zip((32, *FILTERS), FILTERS, strict=False), start=1):
        tensors[f"conv_dw_{i}/depthwise_kernel"] = normal(3, 3, before, 1)
        scale = rng.uniform(0.5, 1.5, before).astype("float32")
        tensors[f"conv_dw_{i}_bn/batchnorm_1/mul"] = scale
        shift_and_limits(f"conv_dw_{i}", before)
        tensors[f"conv_pw_{i}/convolution/merged_input"] = normal(1, 1, before, after)
        shift_and_limits(f"conv_pw_{i}", after)
    tensors["global_pooling/Mean/reduction_indices"] = np.array([1, 2], "int32")
    return tensors


def write_tfjs(path: Path, tensors, *, nodes=()) -> Path:
    """Writes float32 tensors as float16, as the real file has them; others as they are."""
    entries, data = [], b""
    for name, array in tensors.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        if array.dtype == "float32":
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype("float16")
        entries.append(entry)
        data += array.tobytes()
    manifest = [{"paths": [f"{path.stem}.bin"], "weights": entries}]
    graph = {"modelTopology": {"node": list(nodes)}, "weightsManifest": manifest}
    path.write_text(json.dumps(graph))
    path.with_suffix(".bin").write_bytes(data)
    return path


def smooth_images(rng, count) -> np.ndarray:
    """u8[n,h,w,3] with the broad structure of photos; white noise looks alike everywhere."""
    coarse = rng.uniform(0, 255, (count, 6, 6, 3)).astype("float32")
    return np.stack([cv2.resize(image, SIZE) for image in coarse]).astype("uint8")


def assert_same_features(actual, expected):
    scale = np.abs(expected).max()
    assert scale > 0.5  # else nothing is compared
    np.testing.assert_allclose(actual, expected, atol=2e-5 * scale, rtol=1e-4)


def relative_error(actual, expected) -> float:
    actual, expected = np.asarray(actual), np.asarray(expected)
    return float(np.sqrt(np.mean((actual - expected) ** 2)) / expected.std())
