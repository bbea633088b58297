"""Which class a folder is, by its name: a number of the official labels, or a word."""

from collections.abc import Mapping, Sequence

from etils import epath

from tfds_builders.reading.published import Release

_WORDS = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "neutrality": "neutral",
    "sad": "sadness",
    "suprise": "surprise",
    "surprised": "surprise",
}


def is_class(name: str) -> bool:
    """Whether a name is a number, or a word for an emotion."""
    word = _word(name)
    return name.isdecimal() or word in _WORDS.values() or word == "contempt"


def _word(name: str) -> str:
    return _WORDS.get(name.lower(), name.lower())


def class_index(name: str, *, classes: Sequence[str]) -> int | None:
    """Index of a class by its name in any usual spelling, or its number from 0; None for none."""
    words = [_word(known) for known in classes]
    if name.isdecimal():
        return int(name) if int(name) < len(words) else None
    return words.index(_word(name)) if _word(name) in words else None


def read_labels(
    folders: Mapping[str, Sequence[epath.Path]], *, release: Release
) -> tuple[dict[epath.Path, int], bool]:
    """Reads the classes of folders.

    Args:
        folders: those of classes, by split.
        release: the official one.

    Returns:
        Class index by folder, and whether names or official numbers leave no doubt of their order.

    Raises:
        ValueError: a name of no class, two folders of one class in a split, words mixed with
          numbers, or numbers that do not tell.
    """
    every = [folder for of_split in folders.values() for folder in of_split]
    numbered = [folder for folder in every if folder.name.isdecimal()]
    if not numbered:
        return _read_words(folders, release=release), True
    if len(numbered) < len(every):
        other = next(folder for folder in every if folder not in numbered)
        raise ValueError(
            f"{other} is named by a word, but {numbered[0]} by a number. Two layouts are mixed: "
            f"use one of the two. Received: {other.name!r} and {numbered[0].name!r}"
        )
    found = {
        split: sorted(int(folder.name) for folder in of_split)
        for split, of_split in folders.items()
    }
    for numbers in (*release.numbers, *release.other_numbers):
        if all(of_split == sorted(numbers) for of_split in found.values()):
            labels = {folder: list(numbers).index(int(folder.name)) for folder in every}
            return labels, numbers in release.numbers
    wanted = ", or ".join(f"{n[0]}..{n[-1]}" for n in (*release.numbers, *release.other_numbers))
    raise ValueError(
        f"{every[0].parent}: the folders of {release.title}'s classes must be numbered {wanted}, "
        "the same in every split, or be named by class. Nothing else says which class is which. "
        f"Received: {', '.join(f'{split} {numbers}' for split, numbers in found.items())}"
    )


def _read_words(
    folders: Mapping[str, Sequence[epath.Path]], *, release: Release
) -> dict[epath.Path, int]:
    classes = [_word(name) for name in release.classes]
    labels = {}
    for of_split in folders.values():
        seen: dict[str, epath.Path] = {}
        for folder in of_split:
            word = _word(folder.name)
            if word not in classes:
                raise ValueError(
                    f"{folder} is not a class of {release.title} ({', '.join(release.classes)}): "
                    f"rename it, or move it away. Received: {folder.name!r}"
                )
            if word in seen:
                raise ValueError(
                    f"{folder} and {seen[word]} are the same class: merge them. Received: "
                    f"{folder.name!r} and {seen[word].name!r}"
                )
            seen[word] = folder
            labels[folder] = classes.index(word)
    return labels
