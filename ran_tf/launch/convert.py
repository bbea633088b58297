"""Converts weights of other houses into ours.

    python -m ran_tf.launch.convert --source=faceres.json --format=faceres_tfjs \\
        --faces=ferplus/FER2013Train --size=161 --out=mobilenet_v1.weights.h5
    python -m ran_tf.launch.convert --source=ijba_res18_naive.pth.tar --format=ms1m_torch \\
        --out=resnet18.weights.h5
    python -m ran_tf.launch.convert --source=checkpoint_40.pth.tar --format=ran_torch \\
        --out=ran.weights.h5
"""

import os
from pathlib import Path

import numpy as np
from absl import flags

from ran_tf import checks, registry, vocabulary
from ran_tf.images import decoding, photos, resampling
from ran_tf.launch import command, terminal
from ran_tf.safety.files import atomic_path
from ran_tf.weights import weights_file
from ran_tf.weights.convert import FORMATS, convert
from ran_tf.weights.reinflate import reinflate_batch_norm


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("source", None, "The file to convert.", required=True)
    flags.DEFINE_enum("format", None, sorted(FORMATS), "Its format.", required=True)
    flags.DEFINE_string("out", None, "Where to write, *.weights.h5.", required=True)
    flags.DEFINE_enum(
        "attention",
        None,
        list(registry.ATTENTIONS),
        "Of a network (ran_torch); nothing in the file tells. Absent: as the released code with "
        "such a head, softmax with relation-attention and sigmoid without.",
    )
    flags.DEFINE_enum(
        "preprocessing",
        None,
        vocabulary.PREPROCESSINGS,
        "Of the pixels that --source was trained on. Absent: the format's own, which is unit (RGB "
        "in 0..1) for ran_torch and ms1m_torch.",
    )
    flags.DEFINE_bool(
        "allow_partial",
        False,
        "Report tensors that are unknown, and variables that have none, instead of stopping.",
    )
    flags.DEFINE_string(
        "faces",
        None,
        "A folder of face images (searched in depth), such as a training set. Batch normalisations "
        "that were folded get their statistics: do this before training.",
    )
    flags.DEFINE_integer(
        "num_faces",
        512,
        "How many of --faces to measure, spread evenly over the sorted file names.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "size",
        128,
        "Side in pixels that --faces are resized to: that of the training to come.",
        lower_bound=32,
    )


def convert_weights(
    source: str | os.PathLike,
    *,
    format: str,
    out: str | os.PathLike,
    attention: str | None = None,
    preprocessing: str | None = None,
    allow_partial: bool = False,
    faces: str | os.PathLike | None = None,
    num_faces: int = 512,
    size: tuple[int, int] = (128, 128),
) -> None:
    """Converts a file and prints what was left out; see the flags.

    Raises:
      ValueError, FileNotFoundError: a bad argument or file; nothing is written then.
    """
    path = Path(out).expanduser()
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"`out` must end in .weights.h5. Received: out={str(out)!r}")
    checks.check_whole("num_faces", num_faces, low=1)
    # Before the conversion, so that a wrong folder is known at once.
    measured = None if faces is None else read_faces(faces, count=num_faces, size=size)
    converted = convert(
        source=Path(source).expanduser(),
        format=format,
        size=size,
        preprocessing=preprocessing,
        attention=attention,
        allow_partial=allow_partial,
    )
    for name, reason in converted.left_out.items():
        terminal.say(f"left out: {name} ({reason})")
    for name in converted.fresh:
        terminal.say(f"not in the source, random: {name}")
    if measured is not None:
        reinflate_batch_norm(getattr(converted.model, "backbone", converted.model), measured)
        terminal.say(f"measured the batch normalisations on {len(measured)} faces of {faces}")
    with atomic_path(path) as partial:
        weights_file.save(converted.model, partial, arguments=converted.arguments)
    terminal.say(f"wrote {path} ({converted.model.count_params():,} parameters)")
    # The flags of `train` that the weights need have the names of the arguments.
    arguments = ", ".join(f"{key}={value!r}" for key, value in converted.arguments.items())
    terminal.say(f"for: {arguments}")


def read_faces(folder: str | os.PathLike, *, count: int, size: tuple[int, int]) -> np.ndarray:
    """Reads up to `count` images below `folder`, as f32[n,h,w,3], RGB in 0..255.

    Raises:
      FileNotFoundError: no image there.
      ValueError: a file that does not decode.
    """
    folder = Path(folder).expanduser()
    files = photos.find_files(folder).files if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"`faces` must be a folder with images. Received: faces={str(folder)!r}"
        )
    picked = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    faces = []
    for file in (files[i] for i in picked):
        try:
            face = decoding.read_image(file)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"`faces` holds an image that does not decode. Received: {file}: {error}"
            ) from error
        faces.append(resampling.resize_array(face, size=size))
    return np.stack(faces).astype("float32")


def main() -> None:
    values = flags.FLAGS
    convert_weights(
        values.source,
        format=values.format,
        out=values.out,
        attention=values.attention,
        preprocessing=values.preprocessing,
        allow_partial=values.allow_partial,
        faces=values.faces or None,
        num_faces=values.num_faces,
        size=(values.size, values.size),
    )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
