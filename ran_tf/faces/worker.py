"""What happens to each photo of a folder: read, search, choose, align, write."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from ran_tf import registry
from ran_tf.faces.align import align_face, centre_square, to_unit
from ran_tf.faces.choose import CHOICES, choose_face
from ran_tf.faces.detect import DetectorConfig, create_detector, detect_each, tell_of_crowd
from ran_tf.images import decoding, photos
from ran_tf.safety.files import atomic_path
from ran_tf.settings import Checked, setting

STATUSES = ("ok", "no_face", "many_faces", "unreadable", "crashed")

_JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class AlignConfig(Checked):
    """Settings of the alignment of a folder of photos.

    Example:
      >>> ran_tf.AlignConfig(size=112, format="jpg").detector.name
      'blazeface'
    """

    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    landmarks_only: bool = setting(
        False, "Write only landmarks.csv, in 0..1 of the whole photos, and no images."
    )
    size: int = setting(224, "Side of the faces, pixels.", low=8)
    margin: float = setting(
        0.0,
        "Space on every side of a square from fringe to chin, as a fraction of its side. 0.15 "
        "shows the whole head; -0.05 with --drop=0.07 cuts like FERPlus.",
        low=-0.4,
        high=4.0,
    )
    drop: float = setting(
        0.0,
        "Shift of that square downwards, as a fraction of its side.",
        low=-1.0,
        high=1.0,
    )
    choose: str = setting("largest", "Which face of a photo to take.", choices=CHOICES)
    no_face: str = setting(
        "skip",
        "Photos without a face: skip them, or keep their centre square with landmarks nan.",
        choices=("skip", "keep"),
    )
    many_faces: str = setting(
        "choose",
        "Photos with many faces: choose one, skip the photo, or write all (NAME_face0, ...).",
        choices=("choose", "skip", "all"),
    )
    format: str = setting("png", "File format of the faces.", choices=("png", "jpg"))

    def __post_init__(self):
        super().__post_init__()
        if self.landmarks_only and self.many_faces == "all":
            raise ValueError(
                "`many_faces` must be 'choose' or 'skip' with landmarks_only, which writes one row "
                f"for a photo. Received: many_faces={self.many_faces!r}"
            )


@dataclasses.dataclass(frozen=True)
class Output:
    """One row of landmarks.csv.

    Attributes:
      id: path without its ending below the input folder, or the file's stem (landmarks only).
      path: of the written image, below the output folder; "" if none is written.
      landmarks: five x,y in 0..1, or None where unknown.
    """

    id: str
    path: str
    landmarks: list[list[float]] | None


@dataclasses.dataclass(frozen=True)
class Record:
    """What became of one photo: one line of the journal, one row of report.csv.

    Attributes:
      path: below the input folder, with forward slashes.
      status: one of `STATUSES`; "many_faces" only where such photos are skipped, "crashed" where
        the detector failed on it, or the worker process died of it.
      faces: how many were found.
      outputs: what was made of it.
      note: for people.
    """

    path: str
    status: str
    faces: int = 0
    outputs: tuple[Output, ...] = ()
    note: str = ""


def output_id(path: str, config: AlignConfig) -> str:
    """The id of a photo's row in landmarks.csv, or what those of its many faces begin with.

    `folder.align_folder` sees to it that no two are the same.
    """
    return decoding.without_suffix(PurePosixPath(path).name if config.landmarks_only else path)


def face_id(name: str, index: int) -> str:
    """The id of one of many faces of a photo."""
    return f"{name}_face{index}"


def crashed(path: str, ending: str) -> Record:
    """The record of a photo that killed its process, which ended as `ending` says."""
    return Record(path, "crashed", note=f"the process that worked on it died: {ending}")


# Of this process, made by `start_worker`.
_process: Callable[[Sequence[str]], list[Record]]


def start_worker(
    config: AlignConfig, input_dir: str, output_dir: str, make: Callable | None
) -> None:
    """Prepares a worker process: one thread, no accelerator.

    `make` is a user's detector, which a new process does not know; None of ours.
    """
    if make is not None:
        registry.DETECTORS.register(config.detector.name, make)
    cv2.setNumThreads(1)
    global _process
    _process = create_processor(config, input_dir=input_dir, output_dir=output_dir, threads=1)


def process_in_worker(paths: Sequence[str]) -> list[Record]:
    """Processes photos in a process that `start_worker` has prepared."""
    return _process(paths)


def create_processor(
    config: AlignConfig, *, input_dir: str, output_dir: str, threads: int | None = None
):
    """Returns a function from paths below `input_dir` to their records; it writes the images."""
    detect = create_detector(config.detector, threads=threads)

    def process(paths: Sequence[str]) -> list[Record]:
        records = []

        def readable():
            for path in paths:
                try:
                    yield path, decoding.read_image(Path(input_dir, path))
                except (OSError, ValueError) as error:
                    records.append(Record(path, "unreadable", note=_one_line(error)))

        for some in photos.group(readable()):
            found = detect_each(detect, [image for _, image in some])
            for (path, image), faces in zip(some, found, strict=True):
                if isinstance(faces, Exception):
                    note = f"the detector failed on it: {_one_line(faces)}"
                    records.append(Record(path, "crashed", note=note))
                    continue
                records.append(
                    _make_record(path, image, faces, config=config, output_dir=output_dir)
                )
        return records

    return process


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _make_record(path, image, faces, *, config: AlignConfig, output_dir: str) -> Record:
    name = output_id(path, config)
    outputs: list[Output] = []
    if not faces:
        if config.landmarks_only:
            outputs = [Output(id=name, path="", landmarks=None)]
        elif config.no_face == "keep":
            square = centre_square(image, size=config.size)
            written = _write_image(output_dir, name, square, format=config.format)
            outputs = [Output(id=name, path=written, landmarks=None)]
        return Record(path, "no_face", outputs=tuple(outputs))
    count = len(faces)
    crowd = tell_of_crowd(faces, shape=image.shape, config=config.detector)
    notes = [crowd] if crowd else []
    if count > 1 and config.many_faces == "skip":
        outputs = [Output(name, "", None)] if config.landmarks_only else []
        return Record(path, "many_faces", faces=count, outputs=tuple(outputs), note="skipped")
    if count > 1 and config.many_faces == "all":
        faces = sorted(faces, key=lambda face: -face.area)
        names = [face_id(name, i) for i in range(count)]
        notes.append("all written")
    else:
        faces = [choose_face(faces, shape=image.shape, rule=config.choose)]
        names = [name]
        notes += [f"took the {config.choose}"] * (count > 1)
    for face, face_name in zip(faces, names, strict=True):
        if config.landmarks_only:
            written, points = "", to_unit(face.landmarks, shape=image.shape)
        else:
            aligned = align_face(
                image, face.landmarks, size=config.size, margin=config.margin, drop=config.drop
            )
            written = _write_image(output_dir, face_name, aligned.image, format=config.format)
            points = aligned.landmarks
        outputs.append(Output(id=face_name, path=written, landmarks=points.tolist()))
    return Record(path, "ok", faces=count, outputs=tuple(outputs), note="; ".join(notes))


def _write_image(output_dir: str, name: str, image: np.ndarray, *, format: str) -> str:
    written = f"{name}.{format}"
    path = Path(output_dir, written)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if format == "jpg" else []
    _, data = cv2.imencode(f".{format}", np.ascontiguousarray(image[:, :, ::-1]), options)
    with atomic_path(path) as partial:
        partial.write_bytes(data.tobytes())
    return written
