"""python -P reload.py EXPORT_VERSION_DIR FACES.npy ANSWERS.npz

Runs both signatures of an export in a process that cannot import Keras, as a server would. Run as
a file, not as a module of the package: importing the package imports Keras.
"""

import sys


def main(version_dir: str, faces_path: str, answers_path: str) -> None:
    # TensorFlow imports a part of Keras where it can; an import of None fails.
    sys.modules["keras"] = None
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(version_dir)
    faces = np.load(faces_path)
    encoded = tf.stack([tf.io.encode_png(face) for face in faces])
    answers = {
        "images": loaded.signatures["images"](images=tf.constant(faces)),
        "serving_default": loaded.signatures["serving_default"](image_bytes=encoded),
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
