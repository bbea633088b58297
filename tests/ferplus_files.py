"""A tiny FERPlus in each of the two published layouts and as a copy, and the authors' lists."""

import pathlib

import cv2
import numpy as np

FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
COLUMNS = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"

#: usage, id, votes, and by hand: the label that the protocol gives (None: left out).
FACES = (
    ("Training", "fer0000000", (4, 0, 0, 1, 3, 2, 0, 0, 0, 0), None),  # 4 of 9, no majority
    ("Training", "fer0000001", (6, 0, 1, 1, 0, 0, 0, 0, 2, 0), 0),  # 6 of 8
    ("Training", "fer0000002", (0, 4, 0, 0, 0, 1, 0, 0, 4, 0), None),  # unknown counts: 4 of 8
    ("Training", "fer0000003", (0, 5, 1, 1, 0, 1, 1, 1, 0, 0), 1),  # single votes do not: 5 of 5
    ("PublicTest", "fer0028638", (0, 0, 0, 0, 0, 0, 8, 2, 0, 0), 6),
    ("PublicTest", "fer0028639", (0, 0, 0, 0, 0, 0, 0, 0, 9, 1), None),  # unknown
    ("PrivateTest", "fer0032220", (0, 0, 0, 0, 2, 1, 0, 7, 0, 0), 7),
    ("PrivateTest", "fer0032222", (0, 0, 0, 0, 10, 0, 0, 0, 0, 0), 4),
    ("PrivateTest", "fer0032223", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None),  # no face
    ("PrivateTest", "fer0032224", (0, 0, 0, 7, 0, 0, 0, 0, 3, 0), 3),
)
LISTS = {
    "jianfei_occlusion_list.txt": "7_fer0032220.png 8 1\r\n4_fer0032222.png 8 3\r\n",
    "pose_30_ferplus_list.txt": "4/fer0032222.jpg\n3/fer0032224.jpg\n",
    "pose_45_ferplus_list.txt": "3/fer0032224.jpg\n",
}


def pixels(name: str) -> np.ndarray:
    """The image of a face, u8[48,48]: its own for every id."""
    return np.random.default_rng(int(name[3:])).integers(0, 256, (48, 48), dtype=np.uint8)


def write_folders(root: pathlib.Path) -> pathlib.Path:
    """Writes Microsoft's layout, without lists."""
    for usage, folder in FOLDERS.items():
        (root / folder).mkdir(parents=True)
        faces = [face for face in FACES if face[0] == usage]
        for _, name, _, _ in faces:
            cv2.imwrite(str(root / folder / f"{name}.png"), pixels(name))
        rows = [f'{name}.png,"(0, 0, 48, 48)",{_join(votes)}\n' for _, name, votes, _ in faces]
        (root / folder / "label.csv").write_text("".join(rows))
    return root


def write_tables(root: pathlib.Path) -> pathlib.Path:
    """Writes the two CSV files, with a withdrawn picture and a name given twice, without lists."""
    root.mkdir(parents=True, exist_ok=True)
    images, votes = ["emotion,pixels,Usage"], [f"Usage,Image name,{COLUMNS}"]
    for usage, name, counts, _ in FACES:
        images.append(f"0,{_join(pixels(name).ravel(), ' ')},{usage}")
        votes.append(f"{usage},{name}.png,{_join(counts)}")
    withdrawn, doubled = "Training,,0,0,0,0,0,0,0,0,0,10", votes[-1].replace("7", "0")
    images += [f"0,{_join(np.zeros(2304, int), ' ')},Training", images[-1]]
    votes += [withdrawn, doubled]
    (root / "fer2013.csv").write_text("\n".join(images) + "\n")
    (root / "fer2013new.csv").write_text("\n".join(votes) + "\n")
    return root


#: Names of the class folders of a copy, in index order, in the spellings that are about.
WORDS = ("Neutral", "happy", "suprise", "sadness", "angry", "disgust", "fear", "contempt")
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


def write_copy(root: pathlib.Path, *, splits: dict[str, str] = SPLITS) -> pathlib.Path:
    """Writes the faces that have a class into class folders, without lists."""
    for usage, name, _, label in FACES:
        if label is not None:
            folder = root / splits[usage] / WORDS[label]
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{name}.png"), pixels(name))
    return root


def write_lists(folder: pathlib.Path) -> pathlib.Path:
    """Writes the authors' three lists, with their line ends."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in LISTS.items():
        (folder / name).write_bytes(text.encode())
    return folder


def _join(values, separator: str = ",") -> str:
    return separator.join(map(str, values))
