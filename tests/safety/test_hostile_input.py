"""Images, boxes, flagfiles and TF_CONFIG of strange content: an answer, or one line on why not."""

import dataclasses
import io
import json
import math
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from absl import flags
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

import ran_tf
from ran_tf import checks, config
from ran_tf.images import decoding
from ran_tf.launch import cluster, command
from ran_tf.launch import flags as launch_flags
from ran_tf.regions import boxes as region_boxes
from tests.fixtures.hostile import assert_one_line, damaged, hostile

# -- images ----------------------------------------------------------------------------------------


def _encode(format: str, *, mode: str = "RGB", **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    encoded = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16))
    else:
        image = image.convert(mode)
    image.save(encoded, format, **options)
    return encoded.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PICTURES = {
    "jpeg": _encode("JPEG", exif=_turned()),
    "jpeg_progressive": _encode("JPEG", progressive=True),
    "jpeg_cmyk": _encode("JPEG", mode="CMYK"),
    "png": _encode("PNG"),
    "png_alpha": _encode("PNG", mode="LA"),
    "png_palette": _encode("PNG", mode="P", transparency=3),
    "png_16": _encode("PNG", mode="I;16"),
    "bmp": _encode("BMP"),
    "gif": _encode("GIF", save_all=True, append_images=[Image.new("P", (7, 9), i) for i in (1, 2)]),
    "webp": _encode("WEBP"),
    "webp_lossless": _encode("WEBP", mode="RGBA", lossless=True),
    "tiff": _encode("TIFF"),
    "tiff_lzw": _encode("TIFF", compression="tiff_lzw"),
    "tiff_jpeg": _encode("TIFF", compression="jpeg"),
    "tiff_float": _encode("TIFF", mode="F"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_an_image(kind, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 9 * 7 - 1)
    with pytest.raises(ValueError, match="at most 62 pixels.*Received: [79] x [79] pixels"):
        decoding.decode_image(PICTURES[kind])
    # What bounds the pixels is the same; so a case is quick.
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2**16)

    @hostile(40)
    @given(data=damaged(PICTURES[kind], most=4))
    @example(data=PICTURES[kind])
    def check(data):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of much that it can read
                pixels = decoding.decode_image(data)
        except ValueError as error:
            assert not isinstance(error, UnicodeError)
            assert_one_line(error, "Received: ")
            assert data != PICTURES[kind] or kind == "tiff_float"
            return
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[-1] == 3
        assert 0 < pixels.size <= 3 * decoding.MAX_PIXELS

    check()


# -- boxes -----------------------------------------------------------------------------------------

strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.lists(st.integers(-9, 9), max_size=4),
    st.lists(st.lists(st.floats(), max_size=3), max_size=3),
    st.sampled_from([10**400, "paper", "released", 6, 8, 6.0, np.float32("nan"), np.zeros((2, 2))]),
)
arrays = st.one_of(
    strange,
    st_numpy.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_, "U2", "S2", object]),
        st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
        | st.sampled_from([(5, 2), (2, 5, 2), (3, 3), (0, 5, 2), (5, 3)]),
    ),
    st_numpy.arrays(
        np.float64, (5, 2), elements=st.floats() | st.sampled_from([1e39, -1e300, math.nan, 0.5])
    ),
    st_numpy.arrays(np.float32, (5, 3), elements=st.floats(-0.5, 1.5, width=32)),
)


def _sound_boxes(boxes) -> None:
    assert boxes.dtype == np.float32 and boxes.shape[-1] == 4
    assert np.isfinite(boxes).all() and (boxes >= 0).all() and (boxes <= 1).all()
    assert (boxes[..., 0, :] == (0, 0, 1, 1)).all()


def _answer_or_refuse(function, *arguments, **named):
    try:
        return function(*arguments, **named)
    except ValueError as error:
        assert "Received: " in str(error) and "`" in str(error) and len(str(error)) < 3000
        return None


@hostile(200)
@given(k=strange | st.integers(0, 9), variant=strange)
@example(k=7, variant="paper")
@example(k=6.0, variant="paper")
@example(k=True, variant="paper")
@example(k=6, variant=[])
def test_fixed_boxes(k, variant):
    boxes = _answer_or_refuse(ran_tf.fixed_boxes, k, variant=variant)
    if boxes is not None:
        _sound_boxes(boxes)
        assert len(boxes) == k


@hostile(200)
@given(k=strange | st.integers(0, 300), seed=st.none() | st.integers(0, 2**70))
@example(k=10**12, seed=0)
def test_random_boxes(k, seed):
    boxes = _answer_or_refuse(ran_tf.random_boxes, k, seed=seed)
    if boxes is not None:
        _sound_boxes(boxes)
        assert len(boxes) == k


@hostile(200)
@given(draws=arrays)
@example(draws=np.full((1, 3), np.nan))
@example(draws=np.full((1, 3), 7.0))
def test_boxes_of_draws(draws):
    boxes = _answer_or_refuse(region_boxes.boxes_from_draws, draws)
    if boxes is not None:
        _sound_boxes(boxes)


@hostile(200)
@given(landmarks=arrays, radius=st.just(0.4) | strange)
@example(landmarks=np.full((5, 2), 1e39), radius=0.4)
@example(landmarks=np.full((4, 2), 0.5), radius=0.4)
@example(landmarks=np.full((5, 2), 0.5), radius=math.nan)
@example(landmarks=np.full((5, 2), 0.5), radius=np.zeros((2, 2)))
def test_landmark_boxes(landmarks, radius):
    found = _answer_or_refuse(ran_tf.landmark_boxes, landmarks, radius=radius)
    if found is not None:
        boxes, mask = found
        _sound_boxes(boxes)
        assert boxes.shape[-2] == 6
        assert mask.shape == boxes.shape[:-1] and mask[..., 0].all()


# -- flags -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def training_flags():
    """The flags of `train` on values of their own."""
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch_flags.flags, "FLAGS", values)
        for name in [name for name in dir(flags) if name.startswith("DEFINE_")]:
            function = getattr(flags, name)
            patch.setattr(
                flags,
                name,
                lambda *a, _f=function, **k: _f(*a, **{"flag_values": values, **k}),
            )
        flags.DEFINE_multi_string("flagfile", [], "")
        launch_flags.define_training_flags()
    return values


NAMES = [
    "image_size",
    "num_regions",
    "landmark_radius",
    "region_size",
    "region_map",
    "dropout",
    "rotate",
    "erase",
    "learning_rate",
    "warmup",
    "milestones",
    "weight_decay",
    "clip_norm",
    "ema",
    "epochs",
    "batch_size",
    "margin",
    "regions_per_step",
    "region_loss_weight",
    "seed",
    "regions",
    "trunk",
    "trunk_split",
    "backbone",
    "dataset",
]
lines = st.one_of(
    st.builds(
        lambda name, value: f"--{name}={value}",
        st.sampled_from(NAMES),
        st.one_of(
            st.integers().map(str),
            st.floats().map(str),
            st.text(max_size=5),
            st.sampled_from(["1e400", "nan", "-inf", "9" * 5000, "0x10", "1_0", "6", "0.5,nan"]),
        ),
    ),
    st.sampled_from(["--noflip", "--nobalanced", "# a remark", "", "--flip=maybe", "x", "-", "--"]),
    st.text(max_size=9),
)


def _config_or_refuse(data: bytes, values, path) -> config.TrainConfig | None:
    path.write_bytes(data)
    try:
        command.check_flagfile(path)
    except ValueError as error:
        assert_one_line(error, "--flagfile" if "--flagfile" in str(error) else "flagfile", "Recei")
        return None
    values.unparse_flags()
    for name in values:
        values[name].unparse()
    try:
        rest = values(["train", f"--flagfile={path}"])
        return None if rest[1:] else launch_flags.train_config(values)
    except flags.Error as error:  # absl's own: it ends the command with this text and status 1
        assert str(error)
    except ValueError as error:
        assert_one_line(error, "Received: ")
    return None


def _numbers(found) -> list:
    if dataclasses.is_dataclass(found):
        found = dataclasses.asdict(found)
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        return [number for item in found for number in _numbers(item)]
    return [found] if isinstance(found, (int, float)) else []


@hostile(200)
@given(data=st.lists(lines, max_size=5).map(lambda ls: "\n".join(ls).encode("utf-8", "replace")))
@example(data=b"--learning_rate=1e400")
@example(data=b"--weight_decay=1e39")
@example(data=b"--margin=nan")
@example(data=b"--milestones=x")
@example(data=b"--milestones=0.5,nan")
@example(data=b"--image_size=1000000000")
@example(data=b"--batch_size=" + b"9" * 300)
def test_a_flagfile(data, training_flags, tmp_path):
    found = _config_or_refuse(data, training_flags, tmp_path / "x.flags")
    if found is not None:
        assert all(math.isfinite(n) and abs(n) <= 2**31 for n in _numbers(found))
        # In float32, too.
        assert max(map(abs, _numbers(dataclasses.replace(found, seed=0)))) <= checks.MAX_COUNT


RECIPE = (
    b"# --flagfile=y\n--backbone=resnet18\n--learning_rate=0.1\n--milestones=0.3,0.5\n--noflip\n"
)


@hostile(200)
@given(data=damaged(RECIPE, tokens=(b"\xff", b"\0", b"=", b"\n--", b"nan", b"9" * 30)))
@example(data=RECIPE)
@example(data=b"\xff\xfe--x")
@example(data=b"--flagfile=/dev/zero")
def test_a_damaged_recipe(data, training_flags, tmp_path):
    found = _config_or_refuse(data, training_flags, tmp_path / "x.flags")
    assert found is not None or data != RECIPE
    assert found is None or all(math.isfinite(number) for number in _numbers(found))


FLAGFILES = {
    "no text": (b"--epochs=\xff", "--flagfile must be UTF-8 text. Received: 'x.flags', byte 9"),
    "nested": (b"\n --flagfile=x.flags", "must not name another: .*line 2: '--flagfile=x.flags'"),
    "positional": (b"nonsense\n--epochs=1", "takes flags only. Received: nonsense"),
    "long": (b"#" * (2**20 + 1), "at most 1,048,576 bytes. Received: 'x.flags'"),
    "a folder": (None, "--flagfile must be a file. Received: 'x.flags'"),
    "a value": (b"--image_size=0", "`--image_size` must be in 2..4096. Received: .*=0"),
}


@pytest.mark.parametrize("case", FLAGFILES)
def test_a_command_says_it_in_one_line(case, tmp_path, monkeypatch, capsys):
    data, message = FLAGFILES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.flags").mkdir() if data is None else (tmp_path / "x.flags").write_bytes(data)
    code = (
        "from ran_tf.launch import command, flags\n"
        "from absl import flags as absl_flags\n"
        "command.run(lambda: flags.train_config(absl_flags.FLAGS),"
        " define_flags=flags.define_training_flags)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--flagfile", "x.flags"], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("error: ") and not done.stdout
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr), done.stderr


# -- TF_CONFIG -------------------------------------------------------------------------------------

WORKERS = {
    "cluster": {"chief": ["a:1"], "worker": ["b:22", "[::1]:333"]},
    "task": {"type": "worker", "index": 1},
}
pieces = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.sampled_from(["worker", "chief", "ps", "a:1", "b:2", "c:\u00b2", "a", ":", "d:99999999"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster", "task", "type", "index", "worker", "chief"]), inner
        )
    ),
    max_leaves=8,
)


@hostile(300)
@given(
    text=damaged(json.dumps(WORKERS).encode()).map(lambda data: data.decode("utf-8", "replace"))
    | pieces.map(json.dumps)
    | st.builds(lambda c, t: json.dumps({"cluster": c, "task": t}), pieces, pieces)
)
@example(text='{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1e999}}')
@example(text='{"cluster": {"worker": {"a:1": 0}}, "task": {"type": "worker", "index": 0}}')
@example(text='{"cluster": {"worker": ["a:\u00b2"]}, "task": {"type": "worker", "index": 0}}')
@example(text=json.dumps({**WORKERS, "task": {"type": "worker", "index": 2}}))
@example(text="[" * 100_000)
@example(text=json.dumps(WORKERS))
def test_tf_config(text):
    try:
        found = cluster.read_cluster({"TF_CONFIG": text})
    except ValueError as error:
        assert len(str(error)) < 2000 and "Received: TF_CONFIG=" in str(error)
        assert text != json.dumps(WORKERS)
        return
    assert 0 <= found.index < len(found.addresses)
    if found.addresses != ("localhost",):
        jobs = json.loads(text)["cluster"]
        assert list(found.addresses) == jobs.get("chief", []) + jobs.get("worker", [])
        assert all(int(address.rpartition(":")[2]) >= 0 for address in found.addresses)
