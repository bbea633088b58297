"""The RAN authors' occlusion and pose lists, parsed and normalised.

Source: "Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition"
(TIP 2020), https://github.com/kaiwang960112/Challenge-condition-FER-dataset. The published files
mix line ends (CRLF and LF) and suffixes (`.png` and `.jpg` for the same face), so a row is read
into a label and the face's id, and faces are joined by id, never by position.
"""

import contextlib
import dataclasses
import re
import types
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging
from etils import epath
from tensorflow_datasets.core.download import downloader

from tfds_builders import text_files

HOMEPAGE = "https://github.com/kaiwang960112/Challenge-condition-FER-dataset"
_REPOSITORY = HOMEPAGE.replace("github.com", "raw.githubusercontent.com") + "/master"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListFile:
    """One published list and how to read a row of it.

    Attributes:
        folder: folder in the authors' repository.
        name: file name there.
        row: pattern of one row with the groups `id`, `label` and, in an occlusion list, `type`.
        example: a row that matches, shown in errors.
        published: number of rows in the published file.
        types: name of each occlusion type by its code in the list.
    """

    folder: str
    name: str
    row: str
    example: str
    published: int
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{_REPOSITORY}/{self.folder}/{self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListRow:
    """One face of a list.

    Attributes:
        id: the face's key in its dataset.
        label: class index that the authors give the face.
        occlusion: name of what hides the face, "none" in a pose list.
        source: file and row, for errors.
    """

    id: str
    label: int
    occlusion: str
    source: str


#: The types are not documented; this order is what the faces show: hair, hat or hand on the brow;
#: mouth; hand on one cheek; glasses.
FERPLUS_LISTS = {
    "occlusion": ListFile(
        folder="FERplus_dir",
        name="jianfei_occlusion_list.txt",
        row=r"(?P<label>\d)_(?P<id>fer\d{7})\.png \d+ (?P<type>\d)",
        example="1_fer0034656.png 8 0",
        published=605,
        types={"0": "upper", "1": "lower", "2": "side", "3": "glasses"},
    ),
    "pose_30": ListFile(
        folder="FERplus_dir",
        name="pose_30_ferplus_list.txt",
        row=r"(?P<label>\d)/(?P<id>fer\d{7})\.jpg",
        example="0/fer0032226.jpg",
        published=1170,
    ),
    "pose_45": ListFile(
        folder="FERplus_dir",
        name="pose_45_ferplus_list.txt",
        row=r"(?P<label>\d)/(?P<id>fer\d{7})\.jpg",
        example="0/fer0032226.jpg",
        published=633,
    ),
}

#: Ids are the hashed file names of the original release. An occluded face is not told how.
AFFECTNET_LISTS = {
    "occlusion": ListFile(
        folder="AffectNet_dir",
        name="occlusion_affectnet_list.txt",
        row=r"val/(?P<label>[0-7])/(?P<id>[0-9a-f]{56})/",
        example="val/0/bc9ad400db82eca1882b11c9603348fb3e92f5b0d67391ac22a1bc79/",
        published=683,
    ),
    "pose_30": ListFile(
        folder="AffectNet_dir",
        name="pose_30_affectnet_list.txt",
        row=r"(?P<label>[0-7])/(?P<id>[0-9a-f]{56})\.jpg",
        example="0/83dac9d7eec7fb0bfef79b4d35ddc69a6f7fb458d3bffc4e78f33ad9.jpg",
        published=1949,
    ),
    "pose_45": ListFile(
        folder="AffectNet_dir",
        name="pose_45_affectnet_list.txt",
        row=r"(?P<label>[0-7])/(?P<id>[0-9a-f]{56})/\d+\.jpg",
        example="7/3c028208c27c0be5fbe6a52738bebcbfb6c64f3220f523a84b267203/8.jpg",
        published=985,
    ),
}

#: Types 1..4 are not documented either; they are read in the order of FERPlus' 0..3, unverified.
RAF_DB_LISTS = {
    "occlusion": ListFile(
        folder="RAF_DB_dir",
        name="rafdb_occlusion_list.txt",
        row=r"(?P<id>test_\d{4})_aligned (?P<label>\d) (?P<type>\d)",
        example="test_0003_aligned 3 4",
        published=735,  # test_2464 twice
        types={"1": "upper", "2": "lower", "3": "side", "4": "glasses"},
    ),
    "pose_30": ListFile(
        folder="RAF_DB_dir",
        name="val_raf_db_list.txt",
        row=r"(?P<label>\d)/(?P<id>test_\d{4})_aligned\.jpg",
        example="0/test_0004_aligned.jpg",
        published=1247,
    ),
    "pose_45": ListFile(
        folder="RAF_DB_dir",
        name="val_raf_db_list_45.txt",
        row=r"(?P<label>\d)/(?P<id>test_\d{4})_aligned\.jpg",
        example="0/test_0004_aligned.jpg",
        published=558,
    ),
}

#: Conditions of a face that no list names.
CLEAR = types.MappingProxyType({"occlusion": "none", "pose_30": False, "pose_45": False})


def load_lists(
    lists: Mapping[str, ListFile], *, dl_manager: tfds.download.DownloadManager
) -> dict[str, list[ListRow]]:
    """Reads a dataset's lists from the user's folders (see `find_lists`), or else by download.

    Args:
        lists: the lists to read, by condition. Each has a row in the builder's `checksums.tsv`.
        dl_manager: of the build.

    Returns:
        Rows by condition, in file order. A face that a list repeats keeps its first row there; the
        log says which.

    Raises:
        FileNotFoundError: a list is neither there nor to be had.
        ValueError: a row does not have the published form.
    """
    paths = find_lists(lists, manual_dir=dl_manager.manual_dir)
    missing = {condition: file for condition, file in lists.items() if condition not in paths}
    if missing:
        names = ", ".join(file.name for file in missing.values())
        authors_folder = next(iter(missing.values())).folder
        folder = dl_manager.manual_dir
        logging.warning("%s not in %s: downloading from %s", names, folder, HOMEPAGE)
        try:
            with _few_retries():
                paths |= dl_manager.download({name: file.url for name, file in missing.items()})
        except Exception as error:  # TFDS and requests raise a dozen kinds; one remedy serves all.
            raise FileNotFoundError(
                f"The RAN authors' lists ({names}) are not in {folder} and could not be "
                f"downloaded: get them by hand from {HOMEPAGE} (folder {authors_folder}) "
                f"and put them into {folder}. Received: {type(error).__name__}: {error}"
            ) from error
    rows = {}
    for condition, file in lists.items():
        rows[condition] = read_list(file, path=paths[condition])
        if len(rows[condition]) != file.published:
            logging.warning(
                "%s has %d rows, the published one %d: numbers on this subset will not compare.",
                paths[condition],
                len(rows[condition]),
                file.published,
            )
        rows[condition] = without_repeats(rows[condition])
    return rows


@contextlib.contextmanager
def _few_retries():
    """TFDS would try ten times, for three and a half minutes, without a word."""
    before = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 3
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before


def without_repeats(rows: Sequence[ListRow]) -> list[ListRow]:
    """Keeps the first row of every face, and logs the others."""
    first, repeats = {}, []
    for row in rows:
        if first.setdefault(row.id, row) is not row:
            repeats.append(row)
    for row in repeats:
        logging.warning(
            "%s: repeats %s of %s: counted once", row.source, row.id, first[row.id].source
        )
    return list(first.values())


def by_face(lists: Mapping[str, Sequence[ListRow]]) -> dict[str, dict[str, str | bool]]:
    """Features `occlusion`, `pose_30` and `pose_45` by face id, for the faces that lists name.

    Args:
        lists: rows by condition, each face at most once in a list.
    """
    faces = {}
    for condition, rows in lists.items():
        for row in rows:
            value = row.occlusion if condition == "occlusion" else True
            faces.setdefault(row.id, dict(CLEAR))[condition] = value
    return faces


def find_lists(
    lists: Mapping[str, ListFile], *, manual_dir: epath.PathLike
) -> dict[str, epath.Path]:
    """Finds the lists that the user already has.

    Args:
        lists: the lists to find, by condition.
        manual_dir: folder of the images. A list is taken from it, from the authors' folder in it
          (`ListFile.folder`), or from that folder in a `ran_lists` in or beside it.

    Returns:
        Path by condition, of the lists that were found.
    """
    manual_dir = epath.Path(manual_dir)
    found = {}
    for condition, file in lists.items():
        folders = (
            manual_dir,
            manual_dir / file.folder,
            manual_dir / "ran_lists" / file.folder,
            manual_dir.parent / "ran_lists" / file.folder,
        )
        paths = [folder / file.name for folder in folders if (folder / file.name).exists()]
        if paths:
            found[condition] = paths[0]
    return found


def read_list(file: ListFile, *, path: epath.PathLike) -> list[ListRow]:
    """Reads one list.

    Args:
        file: which list it is.
        path: where it lies.

    Returns:
        Its rows, in file order.

    Raises:
        ValueError: a row does not have the published form, or the file has no rows.
    """
    path = epath.Path(path)
    rows = []
    for number, line in enumerate(text_files.read_text(path).splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        source = f"{path}, row {number}"
        match = re.fullmatch(file.row, line)
        if not match or (file.types and match["type"] not in file.types):
            raise ValueError(
                f"{source}: not a row of the authors' list (one looks like {file.example!r}): "
                f"get the file again from {file.url}. Received: row={line!r}"
            )
        rows.append(
            ListRow(
                id=match["id"],
                label=int(match["label"]),
                occlusion=file.types[match["type"]] if file.types else "none",
                source=source,
            )
        )
    if not rows:
        raise ValueError(
            f"{path} has no rows, expected {file.published}: get the file again from {file.url}. "
            f"Received: path={str(path)!r}"
        )
    return rows
