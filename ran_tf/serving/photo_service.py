"""Photos to JSON: the faces that are found in each, and what the network says about them."""

import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ran_tf.images import decoding
from ran_tf.inference.prediction import Failure
from ran_tf.inference.rows import answer_rows
from ran_tf.serving.limits import Limits
from ran_tf.weights.card import ModelCard


@dataclasses.dataclass(frozen=True)
class Upload:
    """A photo of a request.

    Attributes:
      name: that the client gave it.
      data: the bytes of its file.
    """

    name: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class PhotoAnswer:
    """What is answered to the photos of a request.

    Attributes:
      photos: for each {"name", "width", "height" (pixels), "faces", "more_faces"} or
        {"name", "error"}; faces are rows of `predict_rows`, the largest first.
      status: of HTTP: 200 if one photo was answered for, 503 if there was no time, else 400.
    """

    photos: list[dict]
    status: int

    @property
    def faces(self) -> int:
        return sum(len(photo.get("faces", ())) for photo in self.photos)

    @property
    def failed(self) -> int:
        return sum("error" in photo for photo in self.photos)


class PhotoService:
    """Finds and classifies the faces of photos. Thread-safe.

    Args:
      predictor: a `ran_tf.Predictor`.
      limits: on photos, pixels, faces and time.
      turn: a lock that a photo is worked on in, others' requests between two photos.
    """

    def __init__(self, predictor: Any, *, limits: Limits, turn: threading.Semaphore):
        self._predictor, self._limits, self._turn = predictor, limits, turn

    @property
    def card(self) -> ModelCard:
        """Of the network."""
        return self._predictor.card

    def warm_up(self) -> None:
        """Loads the detector, so that the first request does not wait for it."""
        self._predictor.faces([np.zeros((96, 96, 3), np.uint8)])

    def predict(self, uploads: Sequence[Upload]) -> PhotoAnswer:
        """Answers for each photo, or says why not; one that is bad harms no other.

        Photos that the time is over for are not begun.
        """
        until = time.monotonic() + self._limits.photo_seconds
        photos, late = [], False
        for upload in uploads:
            left = until - time.monotonic()
            if left <= 0 or not self._turn.acquire(timeout=left):
                late = True
                said: dict[str, Any] = {
                    "error": f"not started within {self._limits.photo_seconds:g} s: "
                    "send fewer photos, or try again later"
                }
            else:
                try:
                    said = self._answer(upload.data)
                finally:
                    self._turn.release()
            photos.append({"name": upload.name, **said})
        if any("faces" in photo for photo in photos):
            return PhotoAnswer(photos, status=200)
        return PhotoAnswer(photos, status=503 if late else 400)

    def _answer(self, data: bytes) -> dict:
        most = self._limits.faces
        try:
            pixels = decoding.decode_image(data, most_pixels=self._limits.pixels)
        except ValueError as error:
            return {"error": str(error)}
        # One more than is answered for tells whether there are more.
        (found,) = self._predictor.faces([pixels], on_error="return", most=most + 1)
        if isinstance(found, Failure):
            return {"error": found.error}
        height, width, _ = pixels.shape
        rows = answer_rows(found[:most], labels=self._predictor.labels) if found else []
        return {"width": width, "height": height, "faces": rows, "more_faces": len(found) > most}
