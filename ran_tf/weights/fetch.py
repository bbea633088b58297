"""A file from a URL with its checksum, kept beside Keras' own downloads."""

import os
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

from ran_tf.safety import files
from ran_tf.weights import hub

_MARK = "#sha256="
# A longer answer is not read to its end, which may never come.
MAX_BYTES = 2**31


def is_url(source: str | os.PathLike) -> bool:
    """Whether a source names a scheme, as `https://...` does."""
    return "://" in str(source)


def local_path(source: str | os.PathLike) -> pathlib.Path:
    """The file or folder that a source means: what is elsewhere is downloaded, once.

    See `fetch` for URLs, and `hub` for `hf://` and `kaggle://`.
    """
    if hub.is_hub(source):
        return hub.download(str(source))
    return fetch(str(source)) if is_url(source) else pathlib.Path(source).expanduser()


def fetch(url: str) -> pathlib.Path:
    """Downloads a file once.

    Args:
      url: `https://.../NAME#sha256=HEX`; the checksum is not optional, a download is not trusted.

    Returns:
      The file, under a name that ends as the URL does.

    Raises:
      ValueError: without a checksum, or if the file has another one or more than `MAX_BYTES`; it is
        not kept then.
      OSError: if there is no such file, or no network.
    """
    address, mark, expected = url.partition(_MARK)
    expected = expected.lower()
    if not mark or not re.fullmatch("[0-9a-f]{64}", expected):
        raise ValueError(
            f"a URL must end in {_MARK} and the 64 hexadecimal digits of the file's SHA-256. "
            f"Received: {url!r}"
        )
    name = pathlib.PurePosixPath(urllib.parse.urlsplit(address).path).name
    home = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "ran_tf" / f"{expected[:16]}-{name}"
    if path.is_file() and files.sha256(path) == expected:
        return path
    with files.atomic_path(path) as partial:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer, partial.open("wb") as out:
                while block := answer.read(1 << 20):
                    out.write(block)
                    if out.tell() > MAX_BYTES:
                        raise ValueError(
                            f"a download must have at most {MAX_BYTES:,} bytes; nothing was kept. "
                            f"Received: more bytes from {address}"
                        )
        except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
            said = " ".join(str(error).split())[:500]
            raise OSError(f"{address} cannot be downloaded: {said}") from error
        found = files.sha256(partial)
        if found != expected:
            raise ValueError(
                f"the file at {address} must have the SHA-256 {expected}; nothing was kept. "
                f"Received: {found}, {partial.stat().st_size:,} bytes"
            )
    return path
