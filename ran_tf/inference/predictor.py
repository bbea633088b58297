"""From face crops, or photos, to named predictions, with a preset, an export or a training run."""

import os
import threading
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from absl import logging

from ran_tf import checks, vocabulary
from ran_tf.config import VideoConfig
from ran_tf.faces import align as face_align
from ran_tf.faces import detect
from ran_tf.faces.choose import choose_face
from ran_tf.faces.face import Face
from ran_tf.faces.processes import available_cpus
from ran_tf.images.in_order import in_order
from ran_tf.images.photos import group
from ran_tf.images.preparing import prepare_face
from ran_tf.inference import following, runner
from ran_tf.inference.following import VideoFrame
from ran_tf.inference.items import Item, Results, to_array_or_error
from ran_tf.inference.prediction import Failure, FoundFace, Prediction
from ran_tf.regions import kinds

# Photos that are decoded at once, each of up to 64 million pixels.
_MOST_DECODERS = 4


class Predictor:
    """Classifies face crops, or the faces of photos.

    A pickle holds only the arguments, and the model is loaded again on first use. After a fork,
    make a new `Predictor`, because the threads of the engines do not survive a fork.

    Args:
      name_or_dir: the name, file or URL of a preset; EXPORT_DIR (its newest version),
        EXPORT_DIR/<version> or an ONNX file in it; or the work directory of a training run (the
        weights that it keeps). See `ran_tf.weights.sources`.
      align: whether a call takes photos. The largest plausible face of each photo
        (`ran_tf.faces.choose_face`) is turned upright and cut out as the training faces were.
        False: a call takes face crops.
      detector: detector of faces: "blazeface", "mtcnn", "retinaface", "yunet" or a name of
        `register_detector`, or a `DetectorConfig` with all its settings.
      batch_size: faces that the model sees at a time.
      engine: "onnx" is ONNX Runtime. It runs ONNX files and presets of the packaged designs, and
        imports neither TensorFlow nor Keras. "keras" is TensorFlow and Keras. "auto" is "onnx"
        where possible.

    Attributes:
      card: `ran_tf.weights.card.ModelCard`.
      engine: "onnx" or "keras".
      labels: class names, in the order of the probabilities.

    Raises:
      FileNotFoundError: if there is no such model.
      ValueError: for a model with landmark regions, or an engine that cannot run it.
      RuntimeError: in a forked process whose parent has loaded one.

    Example:
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> faces = np.zeros((2, 48, 48, 3), np.uint8)
      >>> [prediction.probabilities.shape for prediction in predictor(faces)]
      [(8,), (8,)]
    """

    # The process that has loaded one.
    _loaded_in: int | None = None

    def __init__(
        self,
        name_or_dir: str | os.PathLike,
        align: bool = False,
        *,
        detector: str | detect.DetectorConfig = detect.DEFAULT,
        batch_size: int = 32,
        engine: str = "auto",
    ) -> None:
        checks.check_whole("batch_size", batch_size, low=1)
        checks.check_choice("engine", engine, vocabulary.ENGINES)
        detector = detect.as_config(detector)
        self._check_not_forked()
        self._arguments: dict[str, Any] = {
            "name_or_dir": name_or_dir,
            "align": align,
            "detector": detector,
            "batch_size": batch_size,
            "engine": engine,
        }
        classifier = runner.load(name_or_dir, served=True, engine=engine)
        self.card, self._classify = classifier.card, classifier.predict
        self.engine = classifier.engine
        self._boxes = kinds.serving_boxes(self.card.regions)
        self._batch_size = batch_size
        self._align = align
        self._detector = detector
        self._detect: detect.Detect | None = None
        self._loading = threading.Lock()
        if align:
            self._load_detector()
        Predictor._loaded_in = os.getpid()

    def _check_not_forked(self) -> None:
        """Raises RuntimeError in a child of the process that has loaded one: it would hang."""
        if self._loaded_in not in (None, os.getpid()):
            raise RuntimeError(
                "a Predictor does not work in a process that was forked after one was loaded: load "
                "the first one after the fork (gunicorn: without --preload), or start processes by "
                f"multiprocessing.get_context('spawn'). Received: process {os.getpid()}, forked "
                f"from {self._loaded_in}"
            )

    def __getstate__(self):
        return {"_arguments": self._arguments}

    def __getattr__(self, name: str):
        # Of a pickle, which has its arguments alone. Not loaded while it is read: a process pool
        # waits for ever when that fails.
        if "_arguments" not in self.__dict__ or "card" in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        Predictor.__init__(self, **self._arguments)
        return getattr(self, name)

    @property
    def source(self) -> str | os.PathLike:
        """Where the model was loaded from."""
        return self._arguments["name_or_dir"]

    @property
    def detector(self) -> detect.DetectorConfig:
        """The detector that finds faces in photos."""
        return self._arguments["detector"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in index order."""
        return self.card.labels

    @typing.overload
    def __call__(
        self, images: Sequence[Item] | np.ndarray, *, on_error: Literal["raise"] = ...
    ) -> list[Prediction]: ...

    @typing.overload
    def __call__(
        self, images: Sequence[Item] | np.ndarray, *, on_error: str
    ) -> list[Prediction | Failure]: ...

    def __call__(
        self, images: Sequence[Item] | np.ndarray, *, on_error: str = "raise"
    ) -> list[Prediction] | list[Prediction | Failure]:
        """Classifies faces.

        Args:
          images: u8[b, H, W, 3], or a sequence whose items are u8[H, W, 3] of any sizes, RGB, the
            bytes of an image file, or its path; see `ran_tf.images.decoding.decode_image`.
          on_error: "raise" stops at an item that cannot be used; "return" puts a `Failure` in its
            place and goes on.

        Returns:
          One `Prediction` for each, in order, or a `Failure`.

        Raises:
          OSError: for a file that cannot be opened.
          ValueError: for an item that is not such an image, or has no face to align. The error
            names the item.
        """
        self._check_not_forked()
        results = Results("images", images, on_error=on_error)
        for some in self._groups(images, results):
            if self._align:
                some = self._chosen_faces(some, results)
            for i, prediction in zip(some, self._predict(list(some.values())), strict=True):
                results.values[i] = prediction
        return results.values

    @typing.overload
    def faces(
        self,
        photos: Sequence[Item] | np.ndarray,
        *,
        on_error: Literal["raise"] = ...,
        most: int | None = ...,
    ) -> list[list[FoundFace]]: ...

    @typing.overload
    def faces(
        self, photos: Sequence[Item] | np.ndarray, *, on_error: str, most: int | None = ...
    ) -> list[list[FoundFace] | Failure]: ...

    def faces(
        self,
        photos: Sequence[Item] | np.ndarray,
        *,
        on_error: str = "raise",
        most: int | None = None,
    ) -> list[list[FoundFace]] | list[list[FoundFace] | Failure]:
        """Finds and classifies all faces of photos, whatever `align` is.

        Args:
          photos: as `images` of a call.
          on_error: as in a call.
          most: largest number of faces in a photo; the largest faces are taken. None takes all.

        Returns:
          For each photo its faces, the largest first; an empty list where none is found.

        Raises:
          OSError, ValueError: as in a call, but not for a photo without a face.
        """
        self._check_not_forked()
        results = Results("photos", photos, on_error=on_error)
        self._load_detector()
        for some in self._groups(photos, results):
            found = {i: faces[:most] for i, faces in self._find(some, results).items()}
            cut = [self._cut(some[i], face) for i, faces in found.items() for face in faces]
            answers = zip(cut, self._predict(cut), strict=True)
            for i, faces in found.items():
                results.values[i] = [
                    FoundFace(
                        prediction,
                        box=face.box,
                        score=face.score,
                        image=image,
                        landmarks=face.landmarks,
                    )
                    for face, (image, prediction) in zip(faces, answers, strict=False)
                ]
        return results.values

    def video(
        self,
        source: str | os.PathLike | int,
        *,
        every: float = VideoConfig.every,
        smooth: float = VideoConfig.smooth,
    ) -> Iterator[VideoFrame]:
        """Finds, follows and classifies the people of a video, whatever `align` is.

        Frames are read as you ask for them, so an hour takes no more memory than a minute.

        Args:
          source: a video file, which needs the extra `video`; or the number of a camera, from 0.
          every: seconds between frames; 0 is every frame.
          smooth: time constant of the moving average of a person's probabilities, seconds. After t
            seconds the old average keeps a share of exp(-t / smooth). 0: no average.

        Yields:
          A `VideoFrame` for each frame that was taken, with or without a face.

        Raises:
          ImportError: without the extra `video`.
          OSError: if the file or camera cannot be opened.
          ValueError: for a setting out of range, or a file that is no video; after its frames, for
            one that ends too early or is damaged.

        Example:
          >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
          >>> for frame in predictor.video("clip.mp4", every=0.2):  # doctest: +SKIP
          ...     for person in frame.people:
          ...         if person.face:
          ...             print(frame.seconds, person.person, person.face.prediction.label)
        """
        self._check_not_forked()
        config = VideoConfig(every=every, smooth=smooth)
        return following.follow_people(self, source, config=config, batch_size=self._batch_size)

    def _groups(self, images, results: Results) -> Iterator[dict[int, np.ndarray]]:
        """Images u8[H, W, 3] by their place, as many together as memory and a batch allow."""

        def usable():
            threads = max(1, min(available_cpus(), _MOST_DECODERS, len(images)))
            for i, image in enumerate(in_order(to_array_or_error, images, threads=threads)):
                if isinstance(image, np.ndarray):
                    yield i, image
                else:
                    results.fail(i, image)

        return map(dict, group(usable(), most=self._batch_size))

    def _load_detector(self) -> detect.Detect:
        with self._loading:
            if self._detect is None:
                self._detect = detect.create_detector(self._detector)
        return self._detect

    def _chosen_faces(
        self, photos: dict[int, np.ndarray], results: Results
    ) -> dict[int, np.ndarray]:
        cut = {}
        for i, faces in self._find(photos, results).items():
            if faces:
                cut[i] = self._cut(photos[i], choose_face(faces, shape=photos[i].shape))
            else:
                results.fail(
                    i,
                    ValueError(
                        "the detector found no face in it; face crops need align=False. "
                        f"Received: a photo of shape={photos[i].shape}"
                    ),
                )
        return cut

    def _find(self, photos: dict[int, np.ndarray], results: Results) -> dict[int, list[Face]]:
        """The faces of each photo, the largest first; not of those that the detector fails on."""
        found = {}
        answers = detect.detect_each(self._load_detector(), list(photos.values()))
        for i, faces in zip(photos, answers, strict=True):
            if isinstance(faces, Exception):
                problem = ValueError(f"the detector failed on it: {faces}")
                problem.__cause__ = faces
                results.fail(i, problem)
            else:
                found[i] = sorted(faces, key=lambda face: -face.area)
                crowd = detect.tell_of_crowd(faces, shape=photos[i].shape, config=self._detector)
                if crowd:
                    # Once: of a video each frame would tell.
                    logging.log_first_n(logging.WARNING, "a photo shows %s", 1, crowd)
        return found

    def _cut(self, photo: np.ndarray, face: Face) -> np.ndarray:
        """A face, upright and framed as the model's training faces: u8[s, s, 3]."""
        return face_align.align_for(self.card, photo, face.landmarks).image

    def _predict(self, faces: list[np.ndarray]) -> list[Prediction]:
        predictions, readout = [], self.card.covered
        for start in range(0, len(faces), self._batch_size):
            # Each at the model's size, so that faces of all sizes share a batch.
            batch = np.stack(
                [
                    prepare_face(face, size=self.card.image_size, grey=self.card.colour == "grey")
                    for face in faces[start : start + self._batch_size]
                ]
            )
            out = self._classify({"image": batch})
            predictions += [
                Prediction(
                    label=self.labels[probabilities.argmax()],
                    probabilities=probabilities,
                    weights=weights,
                    boxes=self._boxes,
                    covered=None if readout is None else float(readout.share(weights)),
                )
                for probabilities, weights in zip(out["probabilities"], out["weights"], strict=True)
            ]
        return predictions
