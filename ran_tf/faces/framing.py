"""How faces were cut out of photos; it travels with them from `align` to the card of a model.

`align` writes framing.json beside its faces, `prepare` keeps it with the dataset, `train` puts it
on the card, and `Predictor(..., align=True)` cuts faces out of photos in the same way.
"""

import dataclasses
import os
import pathlib

from ran_tf.checks import check_framing
from ran_tf.safety import files

FILE = "framing.json"


@dataclasses.dataclass(frozen=True)
class Framing:
    """A square round a face, see `faces.align.align_face`.

    Attributes:
      margin: what is added on every side of the ArcFace square, as a fraction of its side.
      drop: how far below the ArcFace square it lies, likewise.
    """

    margin: float = 0.0
    drop: float = 0.0

    def __post_init__(self):
        check_framing(self.margin, self.drop)


def find(*folders: str | os.PathLike) -> Framing | None:
    """What framing.json says, in the first folder that has one.

    Raises:
      ValueError: naming the file, if it is damaged.
    """
    for folder in folders:
        path = pathlib.Path(folder).expanduser() / FILE
        if path.is_file():
            return parse(files.read_json(path), source=str(path))
    return None


def parse(values: dict, *, source: str) -> Framing:
    """A framing of a file's or a dataset's `values`, perhaps of a stranger.

    Raises:
      ValueError: naming `source`, if they are none.
    """
    try:
        return Framing(margin=values["margin"], drop=values["drop"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{source} must give numbers `margin` and `drop`. Received: {str(values)[:200]}: "
            f"{error}"
        ) from error
