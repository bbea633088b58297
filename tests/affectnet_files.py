"""A tiny AffectNet in each of the two releases and as a copy, and the authors' lists."""

import hashlib
import pathlib
from collections.abc import Callable

import cv2
import numpy as np

#: Expressions of the faces of each split; 8 to 10 are none, uncertain and non-face.
EXPRESSIONS = {"train": (0, 0, 1, 8, 3, 7, 9, 10), "validation": (4, 1, 10, 2, 7, 5)}
TABLES = {"train": "training.csv", "validation": "validation.csv"}
#: Where the original release has its tables and its images.
TRAIN = f"Manually_Annotated_file_lists/{TABLES['train']}"
VALIDATION = f"Manually_Annotated_file_lists/{TABLES['validation']}"
IMAGES = "Manually_Annotated_Images"
FOLDERS = {"train": "train_set", "validation": "val_set"}
HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal"
)
#: Width and height of every image of the original release, and face boxes: x, y, width, height.
SIZE = (90, 60)
BOXES = ((20, 10, 40, 40), (-5, 30, 50, 50), (60, -4, 70, 44), (0, 0, 90, 60))


def hashed(split: str, index: int) -> str:
    """The name of a face in the original release: 56 hexadecimal digits."""
    return hashlib.sha224(f"{split}/{index}".encode()).hexdigest()


def picture(*, width: int, height: int, seed: int) -> np.ndarray:
    """u8[height,width,3] (BGR): smooth, so that JPEG keeps it, and its own for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def points(*, left: float, top: float, width: float, height: float) -> np.ndarray:
    """f64[68,2]: a face that fills the box. Eyes at .3 and .7, nose at .5, mouth at .4 to .6."""
    face = np.random.default_rng(0).uniform(0.1, 0.9, (68, 2))
    ring = np.array([[-2, 0], [-1, -1], [1, -1], [2, 0], [1, 1], [-1, 1]]) / 40
    face[36:42], face[42:48] = np.add(ring, (0.3, 0.35)), np.add(ring, (0.7, 0.4))
    face[30], face[48], face[54] = (0.5, 0.6), (0.4, 0.8), (0.6, 0.75)
    return face * (width, height) + (left, top)


FIVE = np.array([[0.3, 0.35], [0.7, 0.4], [0.5, 0.6], [0.4, 0.8], [0.6, 0.75]])


def valence(index: int) -> float:
    return -0.5 + index / 10


def arousal(index: int) -> float:
    return 0.9 - index / 7


def original_path(split: str, index: int) -> str:
    """Path below the image folder: several folders, and not every file is a lower-case .jpg."""
    suffix = (".jpg", ".png", ".JPG", ".tif")[index % 4]
    return f"{689 + index % 2}/{hashed(split, index)}{suffix}"


def write_original(root: pathlib.Path) -> pathlib.Path:
    """Writes the original release, without lists. The validation table has no header."""
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for split, expressions in EXPRESSIONS.items():
        rows = [HEADER] if split == "train" else []
        for index, expression in enumerate(expressions):
            path = original_path(split, index)
            image = root / IMAGES / path
            image.parent.mkdir(parents=True, exist_ok=True)
            width, height = SIZE
            cv2.imwrite(str(image), picture(width=width, height=height, seed=index))
            box = BOXES[index % 4]
            landmarks = points(left=box[0], top=box[1], width=box[2], height=box[3])
            text = ";".join(f"{value:.2f}" for value in landmarks.ravel())
            cells = (path, *box, text, expression, valence(index), arousal(index))
            if expression == 10:  # the annotators saw no face
                cells = (path, *["NULL"] * 4, "NULL", expression, -2, -2)
            rows.append(",".join(map(str, cells)))
        (lists / TABLES[split]).write_text("\r\n".join(rows) + "\r\n")
    return root


def write_numbered(
    root: pathlib.Path, expressions: dict[str, tuple[int, ...]] = EXPRESSIONS, *, side: int = 32
) -> pathlib.Path:
    """Writes the numbered release. Arrays hold text for one face and numbers for the next."""
    for split, of_split in expressions.items():
        images, annotations = (root / FOLDERS[split] / part for part in ("images", "annotations"))
        images.mkdir(parents=True)
        annotations.mkdir()
        for index, expression in enumerate(of_split):
            encoding = ".png" if index == 1 else ".jpg"  # whatever the file's name says
            _, data = cv2.imencode(encoding, picture(width=side, height=side, seed=index))
            (images / f"{index}.jpg").write_bytes(data.tobytes())
            as_text = str if index % 2 else (lambda value: value)
            values = {
                "exp": as_text(expression),
                "val": as_text(valence(index)),
                "aro": as_text(arousal(index)),
                "lnd": points(left=0, top=0, width=side, height=side).ravel(),
            }
            for name, value in values.items():
                np.save(annotations / f"{index}_{name}.npy", np.array(value))
    return root


#: Names of the class folders of a copy, in the spellings that are about.
WORDS = (
    "Neutral", "happy", "Sad", "surprise", "fear", "Disgust", "anger", "contempt",
    "none", "uncertain", "non-face",
)  # fmt: skip
NUMBERS = tuple(map(str, range(11)))
#: Of a copy that has a folder for each of the eight classes.
COMPLETE = {"train": (*range(8), 1, 1), "validation": (*range(8), 6)}


def write_copy(
    root: pathlib.Path,
    expressions: dict[str, tuple[int, ...]] = COMPLETE,
    *,
    names: tuple[str, ...] = NUMBERS,
    folders: tuple[str, str] = ("train", "val"),
    name: Callable[[str, int], str] = lambda split, index: f"image{index:07}",
) -> pathlib.Path:
    """Writes class folders, without lists."""
    for (split, of_split), folder in zip(expressions.items(), folders, strict=True):
        for index, expression in enumerate(of_split):
            place = root / folder / names[expression]
            place.mkdir(parents=True, exist_ok=True)
            seed = index + 100 * (split == "train")
            cv2.imwrite(
                str(place / f"{name(split, index)}.png"), picture(width=32, height=32, seed=seed)
            )
    return root


#: By the alphabet, as the copies for YOLO have them.
YOLO_NAMES = ("Anger", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def write_yolo(root: pathlib.Path) -> pathlib.Path:
    """Writes a copy in the form of YOLO, with the faces of `COMPLETE`."""
    order = [name.lower() for name in YOLO_NAMES]
    for (split, of_split), folder in zip(COMPLETE.items(), ("train", "valid"), strict=True):
        for part in ("images", "labels"):
            (root / folder / part).mkdir(parents=True)
        for index, expression in enumerate(of_split):
            seed = index + 100 * (split == "train")
            image = picture(width=32, height=32, seed=seed)
            cv2.imwrite(str(root / folder / "images" / f"{index}.png"), image)
            number = order.index(WORDS[expression].lower())
            (root / folder / "labels" / f"{index}.txt").write_text(f"{number} 0.5 0.5 1 1\n")
    (root / "data.yaml").write_text(f"train: ../train\nnc: 8\nnames: {list(YOLO_NAMES)}\n")
    return root


#: By list: indices of the validation faces that it names; one row comes twice, as in the authors'.
LISTED = {"occlusion": (0, 4), "pose_30": (1, 3, 3), "pose_45": (3,)}
_ROWS = {
    "occlusion": ("occlusion_affectnet_list.txt", "val/{}/{}/"),
    "pose_30": ("pose_30_affectnet_list.txt", "{}/{}.jpg"),
    "pose_45": ("pose_45_affectnet_list.txt", "{}/{}/8.jpg"),
}


def write_lists(folder: pathlib.Path) -> pathlib.Path:
    """Writes the authors' three lists, each with its form of path."""
    folder.mkdir(parents=True, exist_ok=True)
    for condition, (name, form) in _ROWS.items():
        rows = [
            form.format(EXPRESSIONS["validation"][index], hashed("validation", index))
            for index in LISTED[condition]
        ]
        (folder / name).write_text("\n".join(rows) + "\n")
    return folder
