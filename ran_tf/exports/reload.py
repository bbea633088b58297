"""python -P reload.py EXPORT_VERSION_DIR INPUTS.npz ANSWERS.npz

Runs every signature of an export in a process that cannot import Keras, as a server would. Run as
a file, not as a module of the package: importing the package imports Keras.
"""

import sys


def main(version_dir: str, inputs_path: str, answers_path: str) -> None:
    # TensorFlow imports a part of Keras where it can; an import of None fails.
    sys.modules["keras"] = None  # type: ignore[assignment]
    import numpy as np
    import tensorflow as tf

    signatures = tf.saved_model.load(version_dir).signatures
    inputs = np.load(inputs_path)
    encoded = tf.stack([tf.io.encode_png(face) for face in inputs["images"]])
    answers = {
        "serving_default": signatures["serving_default"](image_bytes=encoded),
        "images": signatures["images"](images=tf.constant(inputs["images"])),
        "regions": signatures["regions"](regions=tf.constant(inputs["regions"])),
    }
    assert not any(name.startswith("keras.") for name in sys.modules)
    np.savez(
        answers_path,
        **{
            f"{signature}/{name}": value.numpy()
            for signature, outputs in answers.items()
            for name, value in outputs.items()
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
