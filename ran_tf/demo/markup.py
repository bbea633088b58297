"""Faces, photos and what networks say, as HTML; labels come from a model's card and are escaped."""

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np

from ran_tf.demo.explain import Explanation
from ran_tf.demo.photo import Photo
from ran_tf.inference import annotate
from ran_tf.regions.words import describe_region

_REGION_SIDE = 128
# Smaller changes are not shown: percentage points.
_PROBABILITY_STEP, _WEIGHT_STEP = 0.5, 0.05


def data_url(image: np.ndarray) -> str:
    """u8[h, w, 3], RGB, as a JPEG within a URL: no file is written to be served."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def photo_markup(photo: Photo, *, chosen: int | None) -> str:
    """The photo with a button over each face; `chosen` is None for the whole picture."""
    faces = [photo.whole] if chosen is None else photo.faces
    buttons = []
    for i, face in enumerate(faces):
        y0, x0, y1, x1 = (100.0 * face.box).round(2)
        pressed = str(chosen is None or i == chosen).lower()
        name = "The whole picture" if chosen is None else f"Face {i + 1} of {len(faces)}"
        number = f"<span>{i + 1}</span>" if len(faces) > 1 else ""
        buttons.append(
            f'<button type="button" class="ran-box" data-face="{i}" aria-pressed="{pressed}"'
            f' aria-label="{name}" style="left:{x0}%;top:{y0}%;width:{x1 - x0:.2f}%;'
            f'height:{y1 - y0:.2f}%">{number}</button>'
        )
    return (
        f'<div class="ran-photo"><img src="{data_url(photo.view)}" alt="The photo">'
        f"{''.join(buttons)}</div>"
    )


def verdict_markup(now: Explanation, *, clear: Explanation) -> str:
    """The most probable expression, now and before the face was covered."""
    said = now.prediction
    parts = [
        f'<p class="ran-verdict"><strong>{html.escape(said.label)}</strong> '
        f"<span>{_percent(said.probability)}</span></p>"
    ]
    if said.covered is not None:
        told = f"The weights suggest that {said.covered:.0%} of the face is covered."
        parts.append(f'<p class="ran-note">{told}</p>')
    if now.covered:
        before = clear.prediction
        parts.append(
            f'<p class="ran-note">You cover {now.covered:.0%} of the face. Uncovered: '
            f"{html.escape(before.label)}, {_percent(before.probability)}.</p>"
        )
    return "".join(parts)


def expressions_markup(now: Explanation, *, clear: Explanation) -> str:
    """A bar for each expression, the baseline's below it, and the change by the occluder."""
    rows = []
    for i, label in enumerate(now.labels):
        p, before = (float(e.prediction.probabilities[i]) for e in (now, clear))
        bars = f'<i class="ran-bar" style="width:{100 * p:.2f}%"></i>'
        if now.covered and before >= 0.005:
            bars += f'<i class="ran-before" style="left:{100 * before:.2f}%"></i>'
        if now.baseline is not None:
            q = float(now.baseline.probabilities[i])
            bars += f'<i class="ran-bar ran-second" style="width:{100 * q:.2f}%"></i>'
        change = ""
        if now.covered:
            change = _change(100 * (p - before), step=_PROBABILITY_STEP, digits=0)
        top = " ran-top" if label == now.prediction.label else ""
        rows.append(
            f'<li class="ran-row{top}" data-label="{html.escape(label)}" data-value="{p:.6f}">'
            f'<span class="ran-name">{html.escape(label)}</span>'
            f'<span class="ran-track">{bars}</span>'
            f'<span class="ran-number">{_percent(p)}</span>'
            f'<span class="ran-change">{change}</span></li>'
        )
    legend = ""
    if now.baseline is not None:
        legend = (
            '<p class="ran-note ran-legend"><span><i class="ran-key"></i>with regions</span> '
            '<span><i class="ran-key ran-second"></i>whole face only: '
            f"{html.escape(now.baseline.label)}, {_percent(now.baseline.probability)}</span></p>"
        )
    return f'<ul class="ran-rows">{"".join(rows)}</ul>{legend}'


def regions_markup(now: Explanation, *, clear: Explanation) -> str:
    """The regions in a row with their weights, the highest red and the lowest blue."""
    weights, before = (np.asarray(e.prediction.weights, float) for e in (now, clear))
    if len(weights) == 1:
        return '<p class="ran-note">This network looks at the whole face only.</p>'
    marks = {}
    if np.ptp(weights) > 0:
        marks = {int(weights.argmin()): "lowest", int(weights.argmax()): "highest"}
    items = []
    for i, (weight, box) in enumerate(zip(weights, now.prediction.boxes, strict=True)):
        region = cv2.resize(
            _cut(now.view, box), (_REGION_SIDE, _REGION_SIDE), interpolation=cv2.INTER_AREA
        )
        mark = marks.get(i, "")
        colour = {"highest": annotate.HIGHEST, "lowest": annotate.LOWEST}.get(mark)
        style = f' style="--ran-mark:rgb{colour}"' if colour else ""
        change = ""
        if now.covered:
            change = _change(100 * (weight - before[i]), step=_WEIGHT_STEP, digits=1)
        name = describe_region(box)
        items.append(
            f'<li class="ran-region" data-mark="{mark}" data-value="{weight:.6f}"{style}>'
            f'<img src="{data_url(region)}" alt="{name}">'
            f'<span class="ran-weight">{100 * weight:.1f}%</span>'
            f'<span class="ran-change">{change}</span>'
            f'<span class="ran-name">{name}</span>'
            f'<span class="ran-mark">{mark}</span></li>'
        )
    return f'<ul class="ran-regions">{"".join(items)}</ul>'


def message_markup(text: str, *, error: bool = False) -> str:
    """A short message; errors are told to screen readers at once."""
    if not text:
        return ""
    role, kind = ("alert", " ran-error") if error else ("status", "")
    return f'<p class="ran-message{kind}" role="{role}">{html.escape(text)}</p>'


def _cut(face: np.ndarray, box: Sequence[float]) -> np.ndarray:
    y0, x0, y1, x1 = (round(float(side) * len(face)) for side in box)
    return face[y0:y1, x0:x1]


def _percent(p: float) -> str:
    return "&lt;1%" if 0.0 < p < 0.005 else f"{100 * p:.0f}%"


def _change(points: float, *, step: float, digits: int) -> str:
    """A difference in percentage points, with its sign as an arrow."""
    if abs(points) < step:
        return ""
    return f"{'▲' if points > 0 else '▼'}{abs(points):.{digits}f}"
