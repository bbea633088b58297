"""MTCNN finds some faces that lie on their side or head, and says that they are upright.

Its landmarks are then made up, with a score as high as any: their geometry tells nothing. What
tells is a second look at each face, turned by quarters: the turn with the best score is upright. In
the photos of `tests/faces/test_photos.py`, turned by steps of 15 degrees, 79 faces that lie at 100
to 260 degrees are found; 73 are then cut upright, and none was before. Of 279 faces within 60
degrees of upright none is spoiled.
"""

import numpy as np

from ran_tf.faces import views
from ran_tf.faces.face import Face, from_turned, without_doubles

# Pixels of a view, and of the photo around a face, as a multiple of its longer side.
_SIDE, _AROUND = 96, 1.6
_MIN_FACE = 0.4
# No lying face had such a score, and half of the upright ones have: they need no second look.
_SURE = 0.999
# How far from the view's centre a face may lie that is still the same, as a fraction of its side.
_SAME = 0.35
# A turn must be better by so much, in log odds: upright faces score all but equally well in it.
_MARGIN = 1.0


def turn_upright(search, images, found: list[list[Face]]) -> list[list[Face]]:
    """Looks at faces again, turned.

    Args:
      search: finds faces, as `mtcnn_search.create_search` says.
      images: u8[H,W,3].
      found: of each image.

    Returns:
      The same, but that those which lie have the box, score and landmarks of what is found when
      they are turned upright.
    """
    doubtful = [
        (i, j)
        for i, faces in enumerate(found)
        for j, face in enumerate(faces)
        if face.score < _SURE
    ]
    if not doubtful:
        return found
    places = [_place(found[i][j]) for i, j in doubtful]
    turned = [
        np.ascontiguousarray(np.rot90(views.cut(images[i], place, size=_SIDE), k))
        for (i, _), place in zip(doubtful, places, strict=True)
        for k in range(4)
    ]
    answers = search(turned, [_MIN_FACE * _SIDE] * len(turned))
    found = [list(faces) for faces in found]
    for n, ((i, j), place) in enumerate(zip(doubtful, places, strict=True)):
        four = [_best(answer) for answer in answers[4 * n : 4 * n + 4]]
        odds = [_log_odds(face) for face in four]
        k = int(np.argmax(odds))
        best = four[k]
        if k and best is not None and odds[k] > odds[0] + _MARGIN:
            found[i][j] = _to_photo(best, quarters=k, place=place)
    return [without_doubles(faces) for faces in found]


def _place(face: Face) -> views.Place:
    """The square around a face."""
    centre = (face.box[:2] + face.box[2:])[::-1] / 2
    side = max(8.0, _AROUND * float(max(face.box[2:] - face.box[:2])))
    return views.Place(centre=centre, side=side)


def _best(faces: list[Face]) -> Face | None:
    """The best face near the middle of a view."""
    middle = (_SIDE - 1) / 2

    def is_same(face):
        centre = (face.box[:2] + face.box[2:]) / 2
        return np.hypot(*(centre - middle)) <= _SAME * _SIDE

    return max(filter(is_same, faces), key=lambda face: face.score, default=None)


def _log_odds(face: Face | None) -> float:
    """Of being a face; even where none is found."""
    score = 0.5 if face is None else min(face.score, 1 - 1e-7)
    return float(np.log(score / (1 - score)))


def _to_photo(face: Face, *, quarters: int, place: views.Place) -> Face:
    """A face of a view that was turned by so many quarters, counterclockwise."""
    face = from_turned(face, quarters=quarters, shape=(_SIDE, _SIDE))
    corners = views.restore(face.box.reshape(2, 2)[:, ::-1], place, size=_SIDE)
    return Face(
        box=np.ravel(corners[:, ::-1]).astype(np.float32),
        score=face.score,
        landmarks=views.restore(face.landmarks, place, size=_SIDE).astype(np.float32),
    )
