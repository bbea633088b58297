"""A tiny RAF-DB, in the official layout and as a copy in class folders, and the authors' lists."""

import pathlib

import cv2
import numpy as np

#: Official labels, 1..7. Ten faces of happiness, so that one is held out.
LABELS = {f"train_{i:05}": 4 for i in range(1, 11)} | {
    "train_00011": 7,
    "test_0001": 1,
    "test_0002": 6,
    "test_0003": 7,
    "test_2464": 7,
}

#: Labels here are from zero, as in the published lists, with their line ends and the doubled row.
LISTS = {
    "rafdb_occlusion_list.txt": "test_0002_aligned 5 4\r\n"
    "test_2464_aligned 6 2\r\ntest_2464_aligned 6 2\r\n",
    "val_raf_db_list.txt": "0/test_0001_aligned.jpg\n5/test_0002_aligned.jpg\n",
    "val_raf_db_list_45.txt": "0/test_0001_aligned.jpg\n",
}

#: Pixels of the original image. The annotators' left is the subject's in one, the image's in one.
MANUAL = {
    "train_00001": "12.0\t20.0\n28\t21\n20\t30\n14\t40\n27\t41\n0\n1\n2\n",
    "train_00002": "28\t21\n12.0\t20.0\n20\t30\n27\t41\n14\t70.25\n0\n1\n2\n",
}
FIVE = [[12.5, 20.5], [28.5, 21.5], [20.5, 30.5], [14.5, 40.5], [27.5, 41.5]]  # of train_00001
SIZE = (60, 40)  # height and width of the originals


def write(root: pathlib.Path) -> pathlib.Path:
    """Writes labels, images and annotations, without lists."""
    for folder in ("EmoLabel", "Image/aligned", "Image/original", "Annotation/manual"):
        (root / folder).mkdir(parents=True)
    rows = "".join(f"{name}.jpg {label}\n" for name, label in LABELS.items())
    (root / "EmoLabel" / "list_patition_label.txt").write_text(rows)
    for number, name in enumerate(LABELS):
        write_image(root / f"Image/aligned/{name}_aligned.jpg", level=number, size=(100, 100))
        write_image(root / f"Image/original/{name}.jpg", level=number, size=SIZE)
    for name, text in MANUAL.items():
        (root / f"Annotation/manual/{name}_manu_attri.txt").write_text(text)
    return root


#: Of a copy, which has folders for all classes.
COPY_LABELS = LABELS | {f"{split}_{n + 50}": n for split in ("train", "test") for n in range(1, 8)}


def write_copy(root: pathlib.Path, *, first: int = 1) -> pathlib.Path:
    """Writes class folders, of which `first` is that of surprise, and tables; without lists."""
    rows = {"train": "image,label\n", "test": "image,label\n"}
    for number, (name, label) in enumerate(COPY_LABELS.items()):
        split = name.partition("_")[0]
        folder = root / "DATASET" / split / str(label - 1 + first)
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{name}_aligned.jpg", level=number, size=(100, 100))
        rows[split] += f"{name}_aligned.jpg,{label}\n"
    for split, text in rows.items():
        (root / f"{split}_labels.csv").write_text(text)
    return root


def write_auto(root: pathlib.Path, name: str) -> None:
    """Writes 37 points by Face++, of which the eyes, nose and mouth are drawn round `FIVE`."""
    eye_left, eye_right, nose, mouth_left, mouth_right = np.array(FIVE) - 0.5
    ring = np.array([[-2, 0], [-1, 1], [1, 1], [2, 0], [1, -1], [-1, -1]])
    bridge = np.array([[0, -3], [0, 3], [-2, 0], [2, 0], [-1, 0], [1, 0], [0, 0]])
    middle = np.linspace(mouth_left, mouth_right, 12)
    brows = np.full((6, 2), 10)
    order = [0, 5, 3, *[i for i in range(12) if i not in (0, 5, 3)]]
    points = [*brows, *(nose + bridge), *(eye_left + ring), *(eye_right + ring), *middle[order]]
    (root / "Annotation" / "auto").mkdir(exist_ok=True)
    text = "".join(f"{x}\t{y}\n" for x, y in points)
    (root / f"Annotation/auto/{name}_auto_attri.txt").write_text(text)


def write_image(path: pathlib.Path, *, level: int, size: tuple[int, int]) -> None:
    """A colour JPEG whose blue, green and red tell it from others."""
    cv2.imwrite(str(path), np.full((*size, 3), (20, 10 * level, 200), np.uint8))


def write_lists(folder: pathlib.Path) -> pathlib.Path:
    """Writes the authors' three lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in LISTS.items():
        (folder / name).write_bytes(text.encode())
    return folder
