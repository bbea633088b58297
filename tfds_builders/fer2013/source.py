"""The raw files of FER2013, in either of the forms in which they circulate.

The table `fer2013.csv` (or `icml_face_data.csv`): `emotion` (0..6), `pixels` and `Usage` (Training,
PublicTest, PrivateTest).

Class folders: `train/happy/Training_10019449.jpg`, `test/happy/PublicTest_10077120.jpg`,
`test/happy/PrivateTest_10077120.jpg`. The names say which part of FER2013 an image is of. Their
numbers are not those of the rows, nor FERPlus' names: nothing joins these images to FERPlus.
"""

import re

from etils import epath

from ran_tf.vocabulary import LABELS
from tfds_builders.ferplus import source as ferplus
from tfds_builders.reading import copies, published, text_files

RELEASE = published.Release(
    title="FER2013",
    classes=LABELS["fer2013"],
    numbers=(range(7),),
    name=re.compile(r"(?P<id>(Training|PublicTest|PrivateTest)_\d+)"),
    split=lambda face_id: ferplus.USAGES[face_id.partition("_")[0]],
    counts={
        "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "validation": (467, 56, 496, 895, 653, 415, 607),
        "test": (491, 55, 528, 879, 594, 416, 626),
    },
)


def read_source(manual_dir: epath.PathLike) -> ferplus.Source:
    """Finds out which layout `manual_dir` has, and reads its faces.

    Raises:
        FileNotFoundError: there is no FER2013.
        ValueError: a row or folder is not as it should be.
    """
    manual_dir = epath.Path(manual_dir)
    tables = [name for name in ferplus.PIXELS_CSVS if (manual_dir / name).exists()]
    if tables:
        faces = _read_table(manual_dir / tables[0])
        return ferplus.Source(layout=f"the table {tables[0]}", faces=faces)
    root = copies.find_root(manual_dir)
    if root is None:
        raise FileNotFoundError(
            f"{manual_dir} holds no FER2013: expected {' or '.join(ferplus.PIXELS_CSVS)}, or class "
            "folders such as train/happy and test/happy. Give the folder that holds them as "
            f"manual_dir. Received: manual_dir={str(manual_dir)!r}"
        )
    copy = copies.read_copy(root, manual_dir=manual_dir, release=RELEASE)
    faces = [ferplus.Face(**vars(face)) for face in copy.split_faces]
    return ferplus.Source(layout=copy.layout, faces=faces)


def _read_table(path: epath.Path) -> list[ferplus.Face]:
    records = text_files.read_records(
        path, columns=("emotion", "pixels", "Usage"), remedy="use the file as published"
    )
    faces = []
    for index, record in enumerate(records):
        emotion, usage = (record.cells[name].strip() for name in ("emotion", "Usage"))
        if emotion not in map(str, range(len(LABELS["fer2013"]))) or usage not in ferplus.USAGES:
            raise ValueError(
                f"{record.source}: must give an emotion of 0..{len(LABELS['fer2013']) - 1} and a "
                f"Usage of {', '.join(ferplus.USAGES)}: get the file again. "
                f"Received: emotion={emotion[:40]!r}, Usage={usage[:40]!r}"
            )
        faces.append(
            ferplus.Face(
                id=f"row_{index:05}",
                split=ferplus.USAGES[usage],
                source=record.source,
                image=ferplus.parse_pixels(record.cells["pixels"], source=record.source),
                label=int(emotion),
            )
        )
    if not faces:
        raise ValueError(f"{path}: has no rows: get the file again. Received: {path.name!r}")
    published.check_counts(faces, release=RELEASE, where=path)
    return faces
