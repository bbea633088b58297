"""The RAN authors' occlusion and pose lists, parsed and normalised.

Source: "Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition"
(TIP 2020), https://github.com/kaiwang960112/Challenge-condition-FER-dataset. The published files
mix line ends (CRLF and LF) and suffixes (`.png` and `.jpg` for the same face), so a row is read
into a label and the face's id, and faces are joined by id, never by position.
"""

import dataclasses
import re
from collections.abc import Mapping

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

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


def load_lists(
    lists: Mapping[str, ListFile], *, dl_manager: tfds.download.DownloadManager
) -> dict[str, list[ListRow]]:
    """Reads a dataset's lists from the user's folders (see `find_lists`), or else by download.

    Args:
        lists: the lists to read, by condition. Each has a row in the builder's `checksums.tsv`.
        dl_manager: of the build.

    Returns:
        Rows by condition, in file order.

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
    return rows


def find_lists(
    lists: Mapping[str, ListFile], *, manual_dir: epath.PathLike
) -> dict[str, epath.Path]:
    """Finds the lists that the user already has.

    Args:
        lists: the lists to find, by condition.
        manual_dir: folder of the images. A list is taken from it, from the authors' folder in it
          (`FERplus_dir`), or from that folder in a `ran_lists` in or beside it.

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
    for number, line in enumerate(path.read_text().splitlines(), start=1):
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
