"""One face of a published dataset, before its image is read."""

import dataclasses

from etils import epath


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
    """One face.

    Attributes:
        id: by which lists name it; the path of its image where nothing else is known.
        split: "train", "validation" or "test".
        label: class index.
        source: what the label is from, for errors: file and row, or a folder.
        image: its file.
        named: whether its image has the official name.
    """

    id: str
    split: str
    label: int
    source: str
    image: epath.Path
    named: bool = True
