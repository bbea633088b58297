"""From a function with variables to one with constants, batch normalisation folded into kernels.

A served network never changes: constant kernels are laid out for the processor once instead of in
every call, and `gamma (conv(x, w) - mean) / deviation + beta` is one convolution with a bias, which
TensorFlow then fuses with the activation that follows.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
# What may stand between a constant or a convolution and its reader without changing values.
_TRANSPARENT = ("Identity", "Cast", "ReadVariableOp")


def freeze(function: Callable, spec: tf.TensorSpec, *, variables: Sequence):
    """A function of constants alone.

    Args:
      function: of one tensor, returns a dict of tensors.
      spec: of the tensor.
      variables: of Keras, all that it reads.

    Returns:
      A concrete function that takes the same tensor and returns the same dict, to rounding.
    """

    values = [(variable, variable.numpy()) for variable in variables]

    # Constants as it is traced: to replace variables in a graph takes as long as to make it thrice.
    def with_constants(argument):
        with keras.StatelessScope(state_mapping=values):
            return function(argument)

    traced = tf.function(with_constants, input_signature=[spec], autograph=False)
    concrete = traced.get_concrete_function()
    graph, outputs = concrete.graph, [tensor.name for tensor in concrete.outputs]
    source = graph.inputs[0].name
    graph_def = _keep(fold_batch_norm(graph.as_graph_def()), [source, *outputs])

    def folded(argument):
        others = {inner.name: tf.constant(outer.numpy()) for outer, inner in graph.captures}
        made = tf.graph_util.import_graph_def(
            graph_def, input_map={source: argument, **others}, return_elements=outputs, name=""
        )
        return tf.nest.pack_sequence_as(concrete.structured_outputs, made)

    frozen = tf.function(folded, input_signature=[spec], autograph=False).get_concrete_function()
    # The runtime forgets branches of `tf.cond` with the graph that they were traced in.
    frozen.traced = concrete
    return frozen


def _keep(graph_def, names: list[str]):
    """The part of a graph that values depend on: kernels that were folded would be stored too.

    A function waits for every variable that it read; constants need no waiting for.
    """
    result = type(graph_def)()
    result.CopyFrom(graph_def)
    nodes = {node.name: node for node in result.node}
    pending, kept = [_plain(name) for name in names], set()
    while pending:
        node = nodes[pending.pop()]
        if node.name in kept:
            continue
        kept.add(node.name)
        needed = [
            name
            for name in node.input
            if not (name.startswith("^") and nodes[_plain(name)].op in ("Const", "Identity"))
        ]
        node.input[:] = needed
        pending.extend(map(_plain, needed))
    result.ClearField("node")
    result.node.extend(node for name, node in nodes.items() if name in kept)
    return result


def fold_batch_norm(graph_def):
    """Puts scale and offset of inference-mode batch normalisation into the convolution before it.

    Left alone: normalisation that follows something else, or a convolution that is read twice.

    Args:
      graph_def: a frozen GraphDef; not changed.

    Returns:
      GraphDef with the same names.
    """
    graph = _Graph(graph_def)
    for node in list(graph.nodes.values()):
        if node.op == "FusedBatchNormV3" and not node.attr["is_training"].b:
            _fold(node, graph=graph)
    return graph.to_graph_def()


@dataclasses.dataclass
class _Graph:
    """Nodes by name, with the counts of their readers."""

    source: tf.compat.v1.GraphDef

    def __post_init__(self):
        self.nodes = {}
        self.readers: dict[str, int] = {}
        for original in self.source.node:
            node = type(original)()
            node.CopyFrom(original)
            self.nodes[node.name] = node
            for name in node.input:
                self.readers[_plain(name)] = self.readers.get(_plain(name), 0) + 1

    def before(self, name: str):
        """The node that makes a value, looking through casts, and whether others read it too."""
        node, shared = self.nodes[_plain(name)], False
        while True:
            shared = shared or self.readers[node.name] > 1
            if node.op not in _TRANSPARENT:
                return node, shared
            node = self.nodes[_plain(node.input[0])]

    def constant(self, name: str) -> np.ndarray | None:
        node, _ = self.before(name)
        return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None

    def add_constant(self, name: str, value: np.ndarray, *, dtype: tf.DType) -> str:
        node = self.nodes[name] = type(self.source.node[0])(name=name, op="Const")
        node.attr["dtype"].type = dtype.as_datatype_enum
        tensor = tf.make_tensor_proto(value.astype(dtype.as_numpy_dtype), dtype=dtype)
        node.attr["value"].tensor.CopyFrom(tensor)
        return name

    def to_graph_def(self):
        result = type(self.source)()
        result.CopyFrom(self.source)
        del result.node[:]
        result.node.extend(self.nodes.values())
        return result


def _plain(name: str) -> str:
    """The node of an input: "^node" and "node:1" are of node "node"."""
    return name.removeprefix("^").partition(":")[0]


def _fold(norm, *, graph: _Graph) -> None:
    conv, shared = graph.before(norm.input[0])
    if conv.op not in _CONVOLUTIONS or shared:
        return
    kernel, *statistics = (graph.constant(name) for name in (conv.input[1], *norm.input[1:5]))
    if kernel is None or any(value is None for value in statistics):
        return
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in statistics)
    scale = gamma / np.sqrt(variance + norm.attr["epsilon"].f)
    # Kernels are [h, w, in, out]; a depthwise one is [h, w, channel, copies].
    by_channel = scale.reshape(kernel.shape[2:]) if conv.op != "Conv2D" else scale
    conv.input[1] = graph.add_constant(
        f"{conv.name}/folded_kernel",
        np.asarray(kernel, np.float64) * by_channel,
        dtype=tf.as_dtype(conv.attr["T"].type),
    )
    value_type = norm.attr["T"].type
    bias = graph.add_constant(
        f"{norm.name}/folded_bias", beta - mean * scale, dtype=tf.as_dtype(value_type)
    )
    # Under its old name, so that its readers find it.
    name, values, layout = norm.name, norm.input[0], norm.attr["data_format"].s
    norm.Clear()
    norm.name, norm.op = name, "BiasAdd"
    norm.input.extend([values, bias])
    norm.attr["T"].type = value_type
    norm.attr["data_format"].s = layout
