"""Cards, records and manifests of strange JSON: sound, or one line that names them."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ran_tf import checks
from ran_tf.safety import files
from ran_tf.weights import presets
from ran_tf.weights.card import ModelCard
from ran_tf.weights.convert import tfjs
from tests.fixtures.hostile import assert_one_line, damaged, hostile
from tests.fixtures.sound_card import CARD

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


# -- cards -----------------------------------------------------------------------------------------


@st.composite
def strange_cards(draw):
    """A card with some values, also within regions and model, of another kind."""
    card = json.loads(json.dumps(CARD))
    for _ in range(draw(st.integers(1, 3))):
        part = card
        if draw(st.booleans()):
            part = card.get(draw(st.sampled_from(["regions", "model"])))
        if isinstance(part, dict):
            names = [*part, "other"]
            part[draw(st.sampled_from(names))] = draw(json_values)
    return json.dumps(card).encode()


def _card_or_refuse(data: bytes) -> None:
    try:
        card = ModelCard.from_json(data, source="'here'")
    except ValueError as error:
        assert_one_line(error, "'here'", "Received: ")
        assert data != json.dumps(CARD).encode()
        return
    height, width = card.image_size
    assert type(height) is type(width) is int
    assert 2 <= height <= checks.MAX_SIDE and 2 <= width <= checks.MAX_SIDE
    assert len(set(card.labels)) == len(card.labels) and all(
        isinstance(n, str) for n in card.labels
    )
    assert card.regions.k <= checks.MAX_REGIONS
    assert -0.4 <= card.crop_margin <= 4


@hostile(300)
@given(data=damaged(json.dumps(CARD).encode()) | strange_cards() | st.binary(max_size=9))
@example(data=json.dumps(CARD).encode())
@example(data=b"[" * 100_000)
@example(data=json.dumps({**CARD, "image_size": [10**9, 10**9]}).encode())
@example(data=json.dumps({**CARD, "image_size": [32.0, 32]}).encode())
@example(data=json.dumps({**CARD, "image_size": [32, True]}).encode())
@example(data=json.dumps({**CARD, "labels": ["anger", "anger"]}).encode())
@example(data=json.dumps({**CARD, "regions": {"kind": "random", "k": 10**9}}).encode())
@example(data=b"{}")
@example(data=json.dumps({**CARD, "a\nb": 1}).encode())
def test_a_card(data):
    _card_or_refuse(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 10**9}, "num_classes must be the number of labels, 2"),
        ({"backbone": "../x"}, "`backbone` must be one of"),
        ({"backbone": ["a"]}, "Received: 'here'"),
        ({"trunk": "shared", "region_map": [0, "a"]}, "Received: 'here'"),
        ({"nowhere": 1}, "nowhere"),
    ],
)
def test_a_card_without_a_network(changes, message):
    card = {**CARD, "model": {**CARD["model"], **changes}}
    with pytest.raises(ValueError, match=message) as caught:
        presets.build_network(ModelCard.from_json(json.dumps(card)), source="here")
    assert_one_line(caught.value, "'here'")


# -- records and manifests -------------------------------------------------------------------------

RUN = json.dumps({"starts": [{"time": "2026-11-26", "flags": {"epochs": 3}}]}).encode()


@hostile(200)
@given(data=damaged(RUN) | json_values.map(lambda value: json.dumps(value).encode()))
@example(data=RUN)
@example(data=b"[" * 100_000)
@example(data=b"[]")
@example(data=b"\xff\xfe")
def test_a_record(data, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(data)
    try:
        assert "starts" in files.read_json(path, keys=("starts",))
    except ValueError as error:
        assert_one_line(error, str(path), "Received: ")
        assert data != RUN


NUMBERS = np.arange(6, dtype=np.float32)
MANIFEST = {
    "weightsManifest": [
        {
            "paths": ["x.bin"],
            "weights": [
                {"name": "a", "shape": [2, 3], "dtype": "float32"},
                {
                    "name": "b",
                    "shape": [4],
                    "dtype": "float32",
                    "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
                },
            ],
        }
    ]
}


@st.composite
def strange_manifests(draw):
    manifest = json.loads(json.dumps(MANIFEST))
    group = manifest["weightsManifest"][0]
    part = draw(st.sampled_from([manifest, group, *group["weights"], {}]))
    name = draw(st.sampled_from([*part, "quantization"]))
    part[name] = draw(json_values | st.sampled_from([["../x.bin"], ["/etc/hostname"], [-2, -3]]))
    return json.dumps(manifest).encode()


@hostile(200)
@given(data=damaged(json.dumps(MANIFEST).encode(), most=3) | strange_manifests())
@example(data=json.dumps(MANIFEST).encode())
@example(data=json.dumps(MANIFEST).replace("float32", "float33", 1).encode())
@example(data=json.dumps(MANIFEST).replace('"b"', '"a"').encode())
@example(data=b'{"weightsManifest": [{"paths": ["../secret.bin"], "weights": []}]}')
def test_a_model_of_tfjs(data, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (tmp_path / "secret.bin").write_bytes(b"")
    (folder / "x.bin").write_bytes(NUMBERS.tobytes() + bytes(4))
    (folder / "x.json").write_bytes(data)
    try:
        arrays = tfjs.read_tfjs(folder / "x.json")
    except (ValueError, FileNotFoundError) as error:
        assert_one_line(error, "x.", "Received: ")
        assert data != json.dumps(MANIFEST).encode()
        return
    groups = json.loads(data)["weightsManifest"]
    assert all("/" not in name for group in groups for name in group["paths"])
    assert len(arrays) == sum(len(group["weights"]) for group in groups)
    assert sum(array.size for array in arrays.values()) <= 28
