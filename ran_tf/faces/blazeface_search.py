"""BlazeFace proposes faces, the face mesh decides, without TensorFlow: see `blazeface_networks`.

BlazeFace sees a square of 256 pixels and in it no face below a fifteenth of its side. So a photo is
searched as a whole, and then in windows of half the size, and so on down to the smallest face asked
for; but only as long as none is found, or some of those found are small, for smaller ones may then
be beside them. A portrait takes one look, a crowd many.

BlazeFace alone takes cats and cups for faces. So the score of a face is not BlazeFace's but the
mesh's. It looks at doubtful ones in four turns, since BlazeFace says of faces that stand on their
head that they are upright, and then once more from where the points lie that it found.
"""

import numpy as np

from ran_tf.faces import blazeface_networks as networks
from ran_tf.faces import views
from ran_tf.faces.detect import DetectorConfig
from ran_tf.faces.face import Face, without_doubles
from ran_tf.faces.processes import available_cpus
from ran_tf.images.in_order import in_order

# The lowest score of what the mesh looks at.
MIN_PROPOSAL = 0.3
# The smallest face that BlazeFace finds, as a fraction of a window's side, and how much larger one
# is that tells of others.
SMALLEST, SMALL = 1 / 15, 2.0
# How far windows overlap, as a fraction of their side: the larger faces were seen in larger ones.
OVERLAP = 1 / 3
# What the mesh sees, as a multiple of a proposal's side, as in MediaPipe.
AROUND = 1.5
# Log odds above which there is no second look, and what another turn costs: four chances to be
# taken for a face are more than one.
SURE, TURNED = 16.0, 3.0


def create_search(config: DetectorConfig, *, threads: int | None = None):
    """Returns a function from (images u8[H,W,3] RGB, smallest sides in pixels) to lists of Face.

    Each image is searched in one thread, and several at once; None is one for each core.
    """
    propose, look = networks.load_proposals(), networks.load_mesh()
    threads = threads or available_cpus()

    def search_one(asked) -> list[Face]:
        image, min_side = asked
        return _search_photo(
            image, min_side, propose=propose, look=look, min_score=config.min_score
        )

    def search(images, min_sides):
        work = zip(images, min_sides, strict=True)
        return list(in_order(search_one, work, threads=max(1, min(threads, len(images)))))

    return search


def _search_photo(image, min_side, *, propose, look, min_score) -> list[Face]:
    found: list[Face] = []
    for side in _window_sides(image.shape, min_side):
        new: list[Face] = []
        for centre in _window_centres(image.shape, side):
            place = views.Place(centre=centre, side=side)
            view = views.cut(image, place, size=networks.PROPOSAL_SIDE)
            for proposal in propose(view, MIN_PROPOSAL):
                corners, eyes = (
                    views.restore(points, place, size=networks.PROPOSAL_SIDE)
                    for points in (proposal.corners, proposal.eyes)
                )
                if any(_is_inside(corners, face) for face in new):
                    continue
                face = _confirm(image, corners, eyes, look=look, min_score=min_score)
                if face is not None:
                    new.append(face)
        # The new ones first: of equal scores those from closer by.
        found = without_doubles(new + found)
        sizes = [max(face.box[2:] - face.box[:2]) for face in found]
        if found and min(sizes) >= SMALL * SMALLEST * side:
            break
    return found


def _window_sides(shape, min_side: float) -> list[float]:
    """From the whole photo down to windows in which the smallest faces are large enough."""
    sides = [float(max(shape[:2]))]
    while sides[-1] * SMALLEST > min_side and sides[-1] > networks.PROPOSAL_SIDE:
        sides.append(sides[-1] / 2)
    return sides


def _window_centres(shape, side: float) -> list[np.ndarray]:
    """x,y of windows that cover a photo, in equal steps."""
    along = []
    for length in (shape[1], shape[0]):
        count = max(1, int(np.ceil((length - OVERLAP * side) / (side - OVERLAP * side) - 1e-9)))
        edge = min(side, length) / 2
        along.append(np.linspace(edge, length - edge, count) - 0.5)
    return [np.array([x, y]) for y in along[1] for x in along[0]]


def _is_inside(corners: np.ndarray, face: Face) -> bool:
    """Whether a proposal is of a face that was found, perhaps in a window that overlaps."""
    y, x = np.flip(corners.mean(axis=0))
    near = (face.box[:2] < (y, x)).all() and (face.box[2:] > (y, x)).all()
    return bool(near) and bool(
        np.ptp(corners, axis=0).max() > 0.5 * (face.box[2:] - face.box[:2]).max()
    )


def _confirm(image, corners, eyes, *, look, min_score) -> Face | None:
    """A proposal, if it is a face."""

    def look_at(centre, side, angle) -> networks.Mesh:
        place = views.Place(centre=centre, side=max(AROUND * side, 4.0), angle=angle)
        mesh = look(views.cut(image, place, size=networks.MESH_SIDE))
        landmarks, outline = (
            views.restore(points, place, size=networks.MESH_SIDE)
            for points in (mesh.landmarks, mesh.outline)
        )
        return networks.Mesh(mesh.log_odds, landmarks=landmarks, outline=outline)

    centre, side, angle = corners.mean(axis=0), np.ptp(corners, axis=0).max(), _angle(eyes)
    mesh = look_at(centre, side, angle)
    odds = mesh.log_odds
    if odds < SURE:
        for quarters in (1, 2, 3):
            other = look_at(centre, side, angle + quarters * np.pi / 2)
            if other.log_odds - TURNED > odds:
                mesh, odds = other, other.log_odds - TURNED
        low, high = mesh.outline.min(axis=0), mesh.outline.max(axis=0)
        mesh = look_at((low + high) / 2, (high - low).max(), _angle(mesh.landmarks[:2]))
        odds = min(odds, mesh.log_odds)
    score = float(1 / (1 + np.exp(-np.clip(odds, -80, 80))))
    if score < min_score:
        return None
    low, high = mesh.outline.min(axis=0), mesh.outline.max(axis=0)
    return Face(
        box=np.concatenate([low[::-1], high[::-1]]).astype(np.float32),
        score=score,
        landmarks=mesh.landmarks.astype(np.float32),
    )


def _angle(eyes: np.ndarray) -> float:
    right, down = eyes[1] - eyes[0]
    return float(np.arctan2(down, right))
