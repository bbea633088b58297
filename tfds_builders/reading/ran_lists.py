"""The RAN authors' occlusion and pose lists: where they are published, and how their rows look.

Source: "Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition"
(TIP 2020), https://github.com/kaiwang960112/Challenge-condition-FER-dataset.
"""

import dataclasses
import functools
from collections.abc import Mapping

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


_FERPLUS = functools.partial(ListFile, folder="FERplus_dir")
_FERPLUS_POSE = functools.partial(
    _FERPLUS, row=r"(?P<label>\d)/(?P<id>fer\d{7})\.jpg", example="0/fer0032226.jpg"
)
#: The types are not documented; this order is what the faces show: hair, hat or hand on the brow;
#: mouth; hand on one cheek; glasses.
FERPLUS_LISTS: dict[str, ListFile] = {
    "occlusion": _FERPLUS(
        name="jianfei_occlusion_list.txt",
        row=r"(?P<label>\d)_(?P<id>fer\d{7})\.png \d+ (?P<type>\d)",
        example="1_fer0034656.png 8 0",
        published=605,
        types={"0": "upper", "1": "lower", "2": "side", "3": "glasses"},
    ),
    "pose_30": _FERPLUS_POSE(name="pose_30_ferplus_list.txt", published=1170),
    "pose_45": _FERPLUS_POSE(name="pose_45_ferplus_list.txt", published=633),
}

_AFFECTNET = functools.partial(ListFile, folder="AffectNet_dir")
_NAME = r"(?P<label>[0-7])/(?P<id>[0-9a-f]{56})"
#: Ids are the hashed file names of the original release. An occluded face is not told how.
AFFECTNET_LISTS: dict[str, ListFile] = {
    "occlusion": _AFFECTNET(
        name="occlusion_affectnet_list.txt",
        row=f"val/{_NAME}/",
        example="val/0/bc9ad400db82eca1882b11c9603348fb3e92f5b0d67391ac22a1bc79/",
        published=683,
    ),
    "pose_30": _AFFECTNET(
        name="pose_30_affectnet_list.txt",
        row=rf"{_NAME}\.jpg",
        example="0/83dac9d7eec7fb0bfef79b4d35ddc69a6f7fb458d3bffc4e78f33ad9.jpg",
        published=1949,
    ),
    "pose_45": _AFFECTNET(
        name="pose_45_affectnet_list.txt",
        row=rf"{_NAME}/\d+\.jpg",
        example="7/3c028208c27c0be5fbe6a52738bebcbfb6c64f3220f523a84b267203/8.jpg",
        published=985,
    ),
}

_RAF_DB = functools.partial(ListFile, folder="RAF_DB_dir")
_RAF_DB_POSE = functools.partial(
    _RAF_DB, row=r"(?P<label>\d)/(?P<id>test_\d{4})_aligned\.jpg", example="0/test_0004_aligned.jpg"
)
#: Types 1..4 are not documented either; they are read in the order of FERPlus' 0..3, unverified.
RAF_DB_LISTS: dict[str, ListFile] = {
    "occlusion": _RAF_DB(
        name="rafdb_occlusion_list.txt",
        row=r"(?P<id>test_\d{4})_aligned (?P<label>\d) (?P<type>\d)",
        example="test_0003_aligned 3 4",
        published=735,  # test_2464 twice
        types={"1": "upper", "2": "lower", "3": "side", "4": "glasses"},
    ),
    "pose_30": _RAF_DB_POSE(name="val_raf_db_list.txt", published=1247),
    "pose_45": _RAF_DB_POSE(name="val_raf_db_list_45.txt", published=558),
}
