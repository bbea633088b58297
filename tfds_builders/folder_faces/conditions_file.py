"""`conditions.csv`: which of one's own faces are occluded or turned."""

from collections.abc import Mapping

from etils import epath

from ran_tf.vocabulary import OCCLUSIONS
from tfds_builders.reading.conditions import CLEAR
from tfds_builders.reading.tables import read_table
from tfds_builders.reading.text_files import Record

FILE = "conditions.csv"
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
_REMEDY = f"write it as {','.join(('id', *CLEAR))}"


def load_conditions(
    manual_dir: epath.PathLike, *, ids: Mapping[str, str | None]
) -> dict[str, dict[str, str | bool]]:
    """Reads `manual_dir/conditions.csv`, where there is one.

    Args:
        manual_dir: folder of the images.
        ids: see `read_table`.

    Returns:
        `occlusion` (a name in `OCCLUSIONS`), `pose_30` and `pose_45` by face id; turned by more
        than 45 degrees is also turned by more than 30.

    Raises:
        ValueError: a column is missing, or a row is malformed, doubled, or of no face.
    """
    path = epath.Path(manual_dir) / FILE
    if not path.is_file():
        return {}
    rows = read_table(path, ids=ids, columns=CLEAR, remedy=_REMEDY)
    return {face_id: _parse(row) for face_id, row in rows.items()}


def _parse(row: Record) -> dict[str, str | bool]:
    cells = {name: row.cells[name].strip().lower() for name in CLEAR}
    occlusion = cells["occlusion"] or "none"
    if occlusion not in OCCLUSIONS:
        raise ValueError(
            f"{row.source}: occlusion must be one of {', '.join(OCCLUSIONS)}: correct it. "
            f"Received: occlusion={cells['occlusion']!r}"
        )
    poses = {}
    for name in ("pose_30", "pose_45"):
        if cells[name] not in _TRUTH:
            raise ValueError(
                f"{row.source}: {name} must be 1 or 0 (more than {name[-2:]} degrees or not): "
                f"correct it. Received: {name}={cells[name]!r}"
            )
        poses[name] = _TRUTH[cells[name]]
    if poses["pose_45"] and not poses["pose_30"]:
        raise ValueError(
            f"{row.source}: a face turned by more than 45 degrees is also turned by more than 30: "
            "correct one of the two. Received: pose_30=0, pose_45=1"
        )
    return {"occlusion": occlusion, **poses}
