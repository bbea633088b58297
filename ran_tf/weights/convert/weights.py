"""A file of another house's weights into a weights file of ours."""

import os
from pathlib import Path

import numpy as np

from ran_tf import checks
from ran_tf.images import decoding, photos, resampling
from ran_tf.safety.files import atomic_path
from ran_tf.weights import weights_file
from ran_tf.weights.convert import Converted, convert
from ran_tf.weights.reinflate import reinflate_batch_norm


def convert_weights(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    format: str,
    attention: str | None = None,
    preprocessing: str | None = None,
    allow_partial: bool = False,
    faces: str | os.PathLike | None = None,
    num_faces: int = 512,
    size: int | tuple[int, int] = 128,
) -> Converted:
    """Converts weights of other projects into a file for `init_weights` of `ran_tf.train`.

    Args:
      source: file to convert.
      out: file to write, *.weights.h5.
      format: format of `source`: "faceres_tfjs", "ms1m_torch" or "ran_torch".
      attention, preprocessing, allow_partial: see `ran_tf.weights.convert.convert`.
      faces: folder of face images, such as a training set. Its sub-folders are searched, too.
        Folded batch normalisations get the statistics of these faces. Do this before training.
      num_faces: number of faces that are measured, spread evenly over the sorted file names.
      size: size that the faces are resized to, a side in pixels or (height, width): that of the
        later training.

    Returns:
      The network, its arguments, and what was left out.

    Raises:
      ValueError, FileNotFoundError: for a bad argument or file. Nothing is written then.

    Example:
      >>> ran_tf.convert_weights("no.pth.tar", "x.weights.h5", format="ms1m_torch")
      Traceback (most recent call last):
        ...
      FileNotFoundError: ...
    """
    path = Path(out).expanduser()
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"`out` must end in .weights.h5. Received: out={str(out)!r}")
    checks.check_whole("num_faces", num_faces, low=1)
    size = (size, size) if isinstance(size, int) else size
    # Before the conversion, so that a wrong folder is known at once.
    measured = None if faces is None else _read_faces(faces, count=num_faces, size=size)
    converted = convert(
        source=Path(source).expanduser(),
        format=format,
        size=size,
        preprocessing=preprocessing,
        attention=attention,
        allow_partial=allow_partial,
    )
    if measured is not None:
        reinflate_batch_norm(getattr(converted.model, "backbone", converted.model), measured)
    with atomic_path(path) as partial:
        weights_file.save(converted.model, partial, arguments=converted.arguments)
    return converted


def _read_faces(folder: str | os.PathLike, *, count: int, size: tuple[int, int]) -> np.ndarray:
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
