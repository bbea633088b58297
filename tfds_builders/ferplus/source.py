"""The raw files of FERPlus, in either of the two official layouts, else as a copy.

Folders (Microsoft's): `FER2013{Train,Valid,Test}/` with the images `ferNNNNNNN.png` and a
`label.csv` without header, rows `name,"(box)",` and ten votes.

CSV: Kaggle's `fer2013.csv` or `icml_face_data.csv` (`emotion`, `pixels`, `Usage`) beside
Microsoft's `fer2013new.csv` (`Usage`, `Image name` and ten votes), joined row by row as Microsoft's
own script does; columns go by name. A row without an image name is a picture they withdrew; the
four names that the published file has twice count once, with their first row.

The votes of the two are not of the same round: they give different faces. Both are read whole and
checked before the first example is written. Copies in class folders (`copied`), which have no
votes, are read where there are none of these files.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from etils import epath

from tfds_builders.ferplus import copied
from tfds_builders.ferplus import votes as votes_lib
from tfds_builders.reading import copies, stored_image, text_files
from tfds_builders.reading import faces as faces_lib

FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
# Kaggle has the same rows under two names.
PIXELS_CSVS = ("fer2013.csv", "icml_face_data.csv")
VOTES_CSV = "fer2013new.csv"
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
_SIDE = 48  # pixels
_VOTES = re.compile(r"[ \t]*[0-9]{1,6}[ \t]*")
_GET_FERPLUS = "get it again from https://github.com/microsoft/FERPlus"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face(faces_lib.Face):
    """One image of FER2013 with its votes, or with its class where it has none.

    Attributes:
        image: file of the image, or its pixels u8[48,48].
        label: class index, where there are no votes.
        votes: number of votes for each of `votes.COLUMNS`; None in a copy without votes.
    """

    image: epath.Path | np.ndarray
    label: int | None = None
    votes: tuple[int, ...] | None = None

    def pixels(self) -> np.ndarray:
        """The grey image, u8[48,48,1].

        Raises:
            ValueError: the file is not an image, or not one of 48x48.
        """
        if isinstance(self.image, np.ndarray):
            return self.image[:, :, np.newaxis]
        _, pixels = stored_image.read(self.image, named_by=self.source, upright=False)
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        if pixels.shape != (_SIDE, _SIDE):
            raise ValueError(
                f"{self.image} (named by {self.source}) must be {_SIDE}x{_SIDE} pixels as in "
                f"FER2013: use the original image. Received: shape={pixels.shape}"
            )
        return pixels[:, :, np.newaxis]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What `manual_dir` holds.

    Attributes:
        layout: what it looks like, for people.
        faces: every face, before any selection.
        protocol: name of the file that the votes are from; None in a copy, which has none.
        joins: whether the test faces have their official names, by which the authors' lists name
          them.
    """

    layout: str
    faces: Sequence[Face]
    protocol: str | None = None
    joins: bool = False


def read_source(manual_dir: epath.PathLike) -> Source:
    """Finds out which layout `manual_dir` has, and reads its faces.

    Raises:
        FileNotFoundError: there is no FERPlus, or a part of it is missing.
        ValueError: a row or folder is not as it should be.
    """
    manual_dir = epath.Path(manual_dir)
    official = (*FOLDERS.values(), *PIXELS_CSVS, VOTES_CSV)
    root = None
    if not any((manual_dir / name).exists() for name in official):
        root = copies.find_root(manual_dir)
    if root is None:
        protocol, faces = read_faces(manual_dir)
        layout = "tables" if protocol == VOTES_CSV else f"folders {', '.join(FOLDERS.values())}"
        return Source(layout=layout, protocol=protocol, faces=faces, joins=True)
    copy = copied.read_copy(root, manual_dir=manual_dir)
    faces = [Face(**vars(face)) for face in copy.split_faces]
    return Source(layout=copy.layout, faces=faces, joins=copy.joins("test"))


def read_faces(manual_dir: epath.PathLike) -> tuple[str, list[Face]]:
    """Reads every face below `manual_dir`, before any selection.

    Args:
        manual_dir: holds `FER2013Train/`, `FER2013Valid/` and `FER2013Test/`, or `fer2013.csv` (or
          `icml_face_data.csv`) and `fer2013new.csv`. The folders are taken where both are there.

    Returns:
        The name of the file that the votes are from ("label.csv" or "fer2013new.csv"), and the
        faces, sorted by id within each split.

    Raises:
        FileNotFoundError: neither layout is complete.
        ValueError: a row is malformed, doubled, or names no image.
    """
    manual_dir = epath.Path(manual_dir)
    present = [name for name in FOLDERS.values() if (manual_dir / name).is_dir()]
    pixels_csv = next(
        (name for name in PIXELS_CSVS if (manual_dir / name).exists()), PIXELS_CSVS[0]
    )
    tables = [name for name in (pixels_csv, VOTES_CSV) if (manual_dir / name).exists()]
    if present:
        _require_all(manual_dir, expected=list(FOLDERS.values()), present=present)
        protocol, faces = "label.csv", _read_folders(manual_dir)
    elif tables:
        _require_all(manual_dir, expected=[pixels_csv, VOTES_CSV], present=tables)
        protocol, faces = VOTES_CSV, _read_tables(manual_dir, pixels_csv)
    else:
        raise FileNotFoundError(
            f"{manual_dir} holds no FERPlus: expected the folders {', '.join(FOLDERS.values())} "
            f"(images and label.csv in each), or the files {' or '.join(PIXELS_CSVS)} and "
            f"{VOTES_CSV}, or class folders such as train/anger/fer0000000.png. Give the folder "
            "that holds them as manual_dir. "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    faces = sorted(faces, key=lambda face: face.id)
    for first, second in itertools.pairwise(faces):
        if first.id == second.id:
            raise ValueError(
                f"{second.source}: repeats {second.id} of {first.source}: delete one of the two "
                f"rows. Received: name={second.id!r}"
            )
    return protocol, faces


def _require_all(manual_dir: epath.Path, *, expected: Sequence[str], present: Sequence[str]):
    missing = [name for name in expected if name not in present]
    if missing:
        raise FileNotFoundError(
            f"{manual_dir} holds {', '.join(present)} but not {', '.join(missing)}: put "
            f"{'it' if len(missing) == 1 else 'them'} beside"
            f"{', or build fer2013 for the labels of FER2013' * (missing == [VOTES_CSV])}. "
            f"Received: manual_dir={str(manual_dir)!r}"
        )


def _read_folders(manual_dir: epath.Path) -> Iterator[Face]:
    for split, name in FOLDERS.items():
        folder = manual_dir / name
        labels = folder / "label.csv"
        if not labels.exists():
            raise FileNotFoundError(
                f"{labels} is missing: it comes with FERPlus (data/{name}/label.csv), "
                f"{_GET_FERPLUS}. Received: manual_dir={str(manual_dir)!r}"
            )
        images = {path.name for path in folder.iterdir()}
        for number, row in text_files.read_csv(labels):
            source = f"{labels}, row {number}"
            _check_columns(row, expected=2 + len(votes_lib.COLUMNS), source=source)
            if row[0] not in images:
                raise ValueError(
                    f"{source}: names an image that is not in {folder}: put the images beside "
                    "label.csv (Microsoft's generate_training_data.py writes them from "
                    f"{PIXELS_CSVS[0]}). Received: name={row[0]!r}"
                )
            yield Face(
                id=row[0].rsplit(".", 1)[0],
                split=split,
                votes=_parse_votes(row[2:], source=source),
                source=source,
                image=folder / row[0],
            )


def _read_tables(manual_dir: epath.Path, pixels_csv: str) -> Iterator[Face]:
    images, votes = manual_dir / pixels_csv, manual_dir / VOTES_CSV
    pixel_rows, vote_rows = (
        text_files.read_records(path, columns=columns, remedy="use the file as published")
        for path, columns in (
            (images, ("pixels", "Usage")),
            (votes, ("Usage", "Image name", *votes_lib.COLUMNS)),
        )
    )
    seen = set()
    pairs = itertools.zip_longest(pixel_rows, vote_rows)
    for number, (pixel_row, vote_row) in enumerate(pairs):
        if pixel_row is None or vote_row is None:
            shorter, longer = (images, vote_row) if pixel_row is None else (votes, pixel_row)
            raise ValueError(
                f"{shorter} ends before {longer.source}, but the two files must have the same "
                f"rows: get the shorter file again. Received: {number} faces"
            )
        usage, name = (vote_row.cells[column].strip() for column in ("Usage", "Image name"))
        if usage not in USAGES or usage != pixel_row.cells["Usage"].strip():
            raise ValueError(
                f"{vote_row.source}: it and {pixel_row.source} must have the same Usage (one of "
                f"{', '.join(USAGES)}). One of the files was sorted or cut: get both again. "
                f"Received: {usage!r} and {pixel_row.cells['Usage']!r}"
            )
        if not name or name in seen:
            continue
        seen.add(name)
        yield Face(
            id=name.rsplit(".", 1)[0],
            split=USAGES[usage],
            votes=_parse_votes(
                [vote_row.cells[column] for column in votes_lib.COLUMNS], source=vote_row.source
            ),
            source=vote_row.source,
            image=parse_pixels(pixel_row.cells["pixels"], source=pixel_row.source),
        )


def _check_columns(row: Sequence[str], *, expected: int, source: str):
    if len(row) != expected:
        raise ValueError(
            f"{source}: has {len(row)} columns, expected {expected}: {_GET_FERPLUS}. "
            f"Received: row={','.join(row)[:80]!r}"
        )


def _parse_votes(cells: Sequence[str], *, source: str) -> tuple[int, ...]:
    if not all(_VOTES.fullmatch(cell) for cell in cells):
        raise ValueError(
            f"{source}: must give {len(votes_lib.COLUMNS)} vote counts "
            f"({', '.join(votes_lib.COLUMNS)}): {_GET_FERPLUS}. Received: {','.join(cells)[:200]!r}"
        )
    return tuple(int(cell) for cell in cells)


def parse_pixels(text: str, *, source: str) -> np.ndarray:
    """Grey values u8[48,48] of a cell of the table; raises ValueError for anything else."""
    try:
        pixels = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        pixels = np.array([-1])
    if pixels.size != _SIDE * _SIDE or pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(
            f"{source}: must give {_SIDE * _SIDE} grey values of 0..255: get the file again. "
            f"Received: {len(text.split())} values, {text[:40]!r}..."
        )
    return pixels.astype(np.uint8).reshape(_SIDE, _SIDE)
