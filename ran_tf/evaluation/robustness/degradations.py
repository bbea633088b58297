"""What a camera does to a whole face and training never shows; lengths are relative to the face.

Each function takes a face u8[h, w, 3] and a `numpy.random.Generator`, and returns a new face.
"""

from typing import Any

import cv2
import numpy as np


def jpeg(face, rng):
    """Artefacts of a JPEG of quality 5 to 15."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(5, 16))]
    encoded = cv2.imencode(".jpg", face[..., ::-1], quality)[1]
    decoded: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1])


def motion_blur(face, rng):
    """A straight movement of 12 to 20 % of the side."""
    length = rng.uniform(0.12, 0.2) * face.shape[0]
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 64):
        kernel[round(reach + t * np.sin(angle)), round(reach + t * np.cos(angle))] += 1
    return cv2.filter2D(face, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def low_resolution(face, rng):
    """A face of 12 pixels, enlarged."""
    del rng
    small = cv2.resize(face, (12, 12), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def darkness(face, rng):
    """A tenth to a fifth of the light, in whole grey levels."""
    return np.round(face * rng.uniform(0.1, 0.2)).astype(np.uint8)


def overexposure(face, rng):
    """Two to three times the light: what is bright becomes white."""
    return np.round(face * rng.uniform(2.0, 3.0)).clip(0, 255).astype(np.uint8)


def salt_and_pepper(face, rng):
    """White and black pixels, 8 to 16 % in all."""
    draw = rng.random(face.shape[:2])
    share = rng.uniform(0.04, 0.08)
    degraded = face.copy()
    degraded[draw < share], degraded[draw > 1 - share] = 0, 255
    return degraded


def fog(face, rng):
    """Clouds of three sizes before the face, which take 85 to 94 % of its contrast on average."""
    height, width = face.shape[:2]
    clouds = np.zeros((height, width), np.float32)
    for cells in (2, 4, 8):
        coarse = rng.random((cells, cells), np.float32)
        clouds += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) / cells
    share = rng.uniform(0.85, 0.94) + 0.2 * (clouds - clouds.mean()) / np.ptp(clouds)
    share = share.clip(0.0, 0.98)
    veiled = (1 - share[..., None]) * face + share[..., None] * rng.uniform(200, 240)
    return np.round(veiled).clip(0, 255).astype(np.uint8)


def turn(face, rng):
    """In the plane, by 30 degrees to either side."""
    return _warp(face, angle=rng.choice([-30.0, 30.0]), zoom=1.0)


def zoom(face, rng):
    """Cut closer or wider, by a third."""
    return _warp(face, angle=0.0, zoom=rng.choice([0.75, 1.33]))


def _warp(face, *, angle: float, zoom: float):
    height, width = face.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, zoom)
    return cv2.warpAffine(
        face, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


DEGRADATIONS = {
    "JPEG": jpeg,
    "motion blur": motion_blur,
    "12 pixels": low_resolution,
    "darkness": darkness,
    "overexposure": overexposure,
    "salt and pepper": salt_and_pepper,
    "fog": fog,
    "turn of 30°": turn,
    "zoom": zoom,
}
