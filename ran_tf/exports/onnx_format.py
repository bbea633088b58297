"""An export as one ONNX file, for ONNX Runtime, OpenVINO, Triton and the like.

Needs the extra `export`. The file's metadata hold the labels, the model card and the boxes.
"""

import os

FILE = "model.onnx"
# What every runtime of the last years reads.
_OPSET = 17


def write(function, path: str | os.PathLike, *, notes: dict[str, str]) -> None:
    """Converts a function.

    Args:
      function: tf.function of constants with an input signature, such as `FaceClassifier.regions`;
        its axes without a size keep none.
      path: of the file.
      notes: go into the file's metadata.
    """
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=_OPSET
    )
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, path)


def load(path: str | os.PathLike, *, threads: int = 0):
    """The file in ONNX Runtime, on the processor: a function of the one input to a dict of outputs.

    Args:
      path: of the file.
      threads: 0 is the runtime's choice.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    return lambda array: dict(zip(names, session.run(names, {source.name: array}), strict=True))
