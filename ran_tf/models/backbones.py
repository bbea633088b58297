"""Backbones: `f32[b, h, w, 3]` in 0..255 -> `[b, d]`, as functional Keras models.

The layers are those of the usual PyTorch checkpoints (strides, paddings, epsilon, names with `_`
for `.`), so that converted weights give the same features. Every backbone normalises its own input.
"""

import keras
from keras import layers

from ran_tf import backend, checks, registry, vocabulary
from ran_tf.models import depthwise, norm, pool, preprocess

# Mean and scale of the input: what the usual checkpoints of each architecture were trained with.
_IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
_CAFFE = {"mean": (103.939, 116.779, 123.68), "std": (1.0, 1.0, 1.0)}
_VGG_FACE = {"mean": (129.186, 104.762, 93.594), "std": (1.0, 1.0, 1.0)}
# Not folded into the first convolution: its zero padding is 0 after preprocessing, so a folded
# shift would be wrong along the border.
_UNIT = {"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)}

_VGG_FEATURES = 4096


def build_backbone(
    name: str,
    *,
    size: tuple[int, int],
    dtype=None,
    synchronized: bool = False,
    preprocessing: str = "standard",
):
    """Builds a backbone with random weights.

    Args:
      name: "resnet18", "resnet34", "resnet50", "vgg16", "mobilenet_v1", or the name of any model
        in `keras.applications` such as "EfficientNetV2B0", or one that `register_backbone` knows.
      size: (height, width) of the input in pixels.
      dtype: dtype policy of all layers, such as "mixed_bfloat16"; None is the global policy.
      synchronized: batch statistics over all replicas (not those of `keras.applications`).
      preprocessing: what the backbone does to its pixels first. "standard": mean and scale of the
        architecture's usual checkpoints; "unit": divides by 255 and no more (own backbones only).

    Returns:
      keras.Model, f32[b, h, w, 3] in 0..255 -> [b, d] in the policy's compute dtype.

    Raises:
      ValueError: for an unknown name or preprocessing.
    """
    checks.check_choice("preprocessing", preprocessing, vocabulary.PREPROCESSINGS)
    inputs = keras.Input((*size, 3), name="image")
    with backend.layer_defaults(dtype):
        if name in registry.BACKBONES:
            build = registry.BACKBONES.find(name)
            if name in registry.BACKBONES.theirs:
                _check_standard(preprocessing, name=name)
                features = build(inputs, synchronized=synchronized)
            else:  # ours know how their checkpoints' pixels were prepared, or others
                features = build(inputs, preprocessing=preprocessing, synchronized=synchronized)
        else:
            features = _from_applications(name, inputs, preprocessing=preprocessing)
    return keras.Model(inputs, features, name=name)


def _standardize(inputs, preprocessing: str, *, usual: dict):
    scalings = {"standard": usual, "unit": _UNIT}
    if preprocessing not in scalings:
        raise checks.unknown("preprocessing", preprocessing)
    return preprocess.Standardize(name="preprocess", **scalings[preprocessing])(inputs)


def resnet18(pixels, *, preprocessing: str, synchronized: bool):
    x = _standardize(pixels, preprocessing, usual=_IMAGENET)
    return _resnet(x, blocks=(2, 2, 2, 2), bottleneck=False, synchronized=synchronized)


def resnet34(pixels, *, preprocessing: str, synchronized: bool):
    x = _standardize(pixels, preprocessing, usual=_IMAGENET)
    return _resnet(x, blocks=(3, 4, 6, 3), bottleneck=False, synchronized=synchronized)


def resnet50(pixels, *, preprocessing: str, synchronized: bool):
    x = _standardize(pixels, preprocessing, usual=_IMAGENET)
    return _resnet(x, blocks=(3, 4, 6, 3), bottleneck=True, synchronized=synchronized)


def vgg16(pixels, *, preprocessing: str, synchronized: bool):
    """It has no batch normalisation to synchronise."""
    return _vgg16(_standardize(pixels, preprocessing, usual=_VGG_FACE))


def mobilenet_v1(pixels, *, preprocessing: str, synchronized: bool):
    x = _standardize(pixels, preprocessing, usual=_CAFFE)
    return _mobilenet_v1(x, synchronized=synchronized)


def _conv(x, filters: int, kernel: int, *, stride: int = 1, name: str):
    """Convolution without bias, padded as PyTorch pads: `kernel // 2` on every side."""
    if kernel > 1 and stride > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    # Without a stride "same" pads symmetrically and needs no copy of the activations.
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=name,
    )(x)


def _resnet(x, *, blocks: tuple[int, ...], bottleneck: bool, synchronized: bool):
    """ResNet (He et al. 2016) in torchvision's variant: the stride is in the 3x3 convolution."""

    def batch_norm(x, name):
        return norm.BatchNorm(synchronized=synchronized, name=name)(x)

    x = batch_norm(_conv(x, 64, 7, stride=2, name="conv1"), "bn1")
    x = layers.ReLU(name="relu")(x)
    # The input is not negative after ReLU: zero padding is as good as PyTorch's minus infinity.
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="maxpool")(x)
    for stage, depth in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            name = f"layer{stage + 1}_{block}"
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            filters = (width, width, 4 * width) if bottleneck else (width, width)
            strided = 2 if bottleneck else 1
            shortcut = x
            if stride != 1 or x.shape[-1] != filters[-1]:
                shortcut = _conv(x, filters[-1], 1, stride=stride, name=f"{name}_downsample_0")
                shortcut = batch_norm(shortcut, f"{name}_downsample_1")
            for i, (kernel, channels) in enumerate(zip(kernels, filters, strict=True), start=1):
                step = stride if i == strided else 1
                x = batch_norm(
                    _conv(x, channels, kernel, stride=step, name=f"{name}_conv{i}"),
                    f"{name}_bn{i}",
                )
                if i < len(kernels):
                    x = layers.ReLU(name=f"{name}_relu{i}")(x)
            x = layers.Add(name=f"{name}_add")([x, shortcut])
            x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.GlobalAveragePooling2D(name="pool")(x)


def _vgg16(x):
    """VGG-16 (Simonyan & Zisserman 2015) up to the 4096 features of fc7, as in VGG-Face."""
    for stage, (depth, filters) in enumerate(
        zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True)
    ):
        for i in range(depth):
            name = f"conv{stage + 1}_{i + 1}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage + 1}")(x)
    # 7x7 at 224 px, as VGG-Face; the pooling lets other sizes use the same weights.
    x = pool.GridPool(7, name="pool")(x) if x.shape[1:3] != (7, 7) else x
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(_VGG_FEATURES, activation="relu", name="fc6")(x)
    return layers.Dense(_VGG_FEATURES, activation="relu", name="fc7")(x)


def _mobilenet_v1(x, *, synchronized: bool):
    """MobileNetV1 (Howard et al. 2017) with 'same' padding throughout, the layout of FaceRes.

    Not `keras.applications.MobileNet`, which pads its strided layers otherwise.
    """
    filters = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)

    def norm_relu6(x, name):
        x = norm.BatchNorm(synchronized=synchronized, epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x)

    def conv(x, channels, kernel, stride, name):
        x = layers.Conv2D(
            channels, kernel, strides=stride, padding="same", use_bias=False, name=name
        )(x)
        return norm_relu6(x, name)

    x = conv(x, 32, 3, 2, "conv1")
    for i, (channels, stride) in enumerate(zip(filters, strides, strict=True), start=1):
        name = f"conv_dw_{i}"
        layer = depthwise.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False, name=name
        )
        x = norm_relu6(layer(x), name)
        x = conv(x, channels, 1, 1, f"conv_pw_{i}")
    return layers.GlobalAveragePooling2D(name="pool")(x)


def _from_applications(name: str, inputs, *, preprocessing: str):
    """A headless model of `keras.applications`, with the input scaling of its own module."""
    build = getattr(keras.applications, name, None)
    if not callable(build) or not name[:1].isupper():
        raise registry.BACKBONES.unknown(name, argument="backbone")
    _check_standard(preprocessing, name=name)
    module = build.__module__.rsplit(".", 1)[-1]
    # The public module of a model is called like the file that defines it.
    scale_input = getattr(keras.applications, module).preprocess_input
    # Built on the input, its layers are the backbone's own: they can be named to freeze or split.
    trunk = build(include_top=False, weights=None, pooling="avg", input_tensor=scale_input(inputs))
    return trunk.output


def _check_standard(preprocessing: str, *, name: str) -> None:
    # Some backbones that are not ours scale inside, some do not: "unit" would not mean the same.
    if preprocessing != "standard":
        raise ValueError(
            f"`preprocessing` must be 'standard' for {name!r}, which is not a backbone of this "
            f"package. Received: preprocessing={preprocessing!r}"
        )
