"""The page that `--format=web` writes, in a real browser, beside what `ran_tf.Predictor` says.

Needs `pip install playwright`, Chromium on the path or in RAN_TF_CHROMIUM, and npm's
onnxruntime-web, whose folder RAN_TF_ONNXRUNTIME_WEB names.
"""

import dataclasses
import functools
import http.server
import json
import os
import pathlib
import threading

import cv2
import numpy as np
import pytest
import skimage.data

import ran_tf
from ran_tf.checks import InvalidArgument
from ran_tf.exports import web_page
from ran_tf.faces import blazeface_networks
from ran_tf.weights import onnx_session, presets
from ran_tf.weights.covered_readout import CoveredReadout
from tests.fixtures import chromium, demo_server

MODEL = "ran_faceres_shared_ferplus"
_SECONDS = 60_000  # of patience with a busy machine, in ms


def test_without_the_runtime_it_says_how_to_get_it(tmp_path):
    with pytest.raises(InvalidArgument, match="npm install onnxruntime-web"):
        ran_tf.export(MODEL, tmp_path / "page", format="web", web_runtime=tmp_path)
    assert not (tmp_path / "page").exists()
    with pytest.raises(InvalidArgument, match="web_runtime"):
        ran_tf.export(MODEL, tmp_path / "page", format="onnx", web_runtime=tmp_path)


def test_the_page_knows_what_the_card_says():
    card = presets.read_card(presets.find_preset(MODEL))
    page = web_page.describe_page(card)
    assert page["labels"] == list(card.labels)
    assert page["faces"]["drop"] == card.crop_drop
    boxes = [region["box"] for region in page["regions"]]
    np.testing.assert_allclose(boxes, ran_tf.fixed_boxes(6))
    assert page["covered"] is None
    readout = CoveredReadout(bias=0.5, slopes=(0.1,) * 6, auc=0.95)
    told = web_page.describe_page(dataclasses.replace(card, covered=readout))["covered"]
    assert told["bias"] == 0.5 and tuple(told["slopes"]) == readout.slopes


def write(path, image):
    assert cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    astronaut = skimage.data.astronaut()
    (folder / "broken.jpg").write_bytes(b"no image")
    large = cv2.resize(astronaut, (1900, 1900), interpolation=cv2.INTER_CUBIC)
    turned = cv2.warpAffine(
        astronaut, cv2.getRotationMatrix2D((224, 120), 40, 1.0), (512, 512), borderValue=(90,) * 3
    )
    return {
        "broken": folder / "broken.jpg",
        "one": write(folder / "one.png", astronaut),
        "two": write(folder / "two.png", demo_server.two_astronauts()),
        "none": write(folder / "none.png", skimage.data.coffee()),
        "large": write(folder / "large.png", large),
        "turned": write(folder / "turned.png", turned),
        "jpeg": write(folder / "one.jpg", astronaut),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export, as a user makes it."""
    runtime = os.environ.get("RAN_TF_ONNXRUNTIME_WEB")
    if runtime is None:
        pytest.skip("RAN_TF_ONNXRUNTIME_WEB names no folder of npm's onnxruntime-web")
    made = ran_tf.export(MODEL, tmp_path_factory.mktemp("page"), format="web", web_runtime=runtime)
    assert made.difference < 1e-4
    return made.path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def serve(folder):
    """A plain server of files, as anybody has one."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def url(folder):
    with serve(folder) as server:
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """What the browser's camera shows: an astronaut, as uncompressed video."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    image = cv2.resize(skimage.data.astronaut()[:384], (640, 480))
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    head = b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420mpeg2\n"
    path.write_bytes(head + 10 * (b"FRAME\n" + planes.tobytes()))
    return path


@pytest.fixture(scope="module")
def browser(camera):
    pytest.importorskip("playwright")
    program = chromium.find_program()
    if program is None:
        pytest.skip("no Chromium on the path; RAN_TF_CHROMIUM may name one")
    with chromium.launch(program, camera=camera) as started:
        yield started


@pytest.fixture(params=[1280, 390], ids=["desktop", "phone"])
def page(browser, url, request):
    """The page, opened; it must ask nobody but its server, and no script may fail."""
    phone = request.param < 600
    context = browser.new_context(
        viewport={"width": request.param, "height": 844 if phone else 800},
        has_touch=phone,
        color_scheme="dark" if phone else "light",
    )
    opened = context.new_page()
    opened.set_default_timeout(_SECONDS)
    asked, failed = [], []
    # Of the context: those of the worker, too.
    context.on("request", lambda r: asked.append(r.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    opened.goto(url)
    opened.wait_for_selector("body[data-state=ready]")
    yield opened
    screenshots = os.environ.get("RAN_TF_SCREENSHOTS")
    if screenshots:
        name = f"{request.node.name}.png".replace("[", "_").replace("]", "")
        opened.screenshot(path=pathlib.Path(screenshots) / name, full_page=True)
    assert not failed
    assert asked and all(a.startswith((url, f"blob:{url}")) for a in asked), asked
    assert opened.evaluate("document.documentElement.scrollWidth") <= request.param
    context.close()


def choose(page, path):
    page.evaluate("document.querySelector('#boxes').replaceChildren()")
    page.set_input_files("#file", path)


def values(page, selector):
    return page.locator(selector).evaluate_all("e => e.map(x => Number(x.dataset.value))")


def wait_for_change(page, before):
    page.wait_for_function(
        "v => Math.abs(document.querySelector('.tile').dataset.value - v) > 1e-5", arg=before
    )


@pytest.mark.large
@pytest.mark.parametrize("name", ["one", "jpeg", "two", "large", "turned"])
def test_it_says_what_the_predictor_says(page, photos, name):
    if page.viewport_size["width"] < 600:
        pytest.skip("the same on a phone")
    expected = ran_tf.Predictor(MODEL).faces([photos[name]])[0]
    assert expected
    choose(page, photos[name])
    boxes = page.locator(".box")
    boxes.nth(len(expected) - 1).wait_for()
    assert boxes.count() == len(expected)
    for i, face in enumerate(expected):
        # The pixel in the middle: two faces may lie next to each other.
        boxes.nth(i).dispatch_event("click")
        box = json.loads(boxes.nth(i).get_attribute("data-box"))
        size = max(face.box[2:] - face.box[:2])
        np.testing.assert_allclose(box, face.box, atol=0.01 * size)
        np.testing.assert_allclose(values(page, ".bar"), face.prediction.probabilities, atol=0.01)
        np.testing.assert_allclose(values(page, ".tile"), face.prediction.weights, atol=0.005)


@pytest.mark.large
def test_a_photo_and_a_cover(page, photos):
    choose(page, photos["one"])
    page.wait_for_selector(".box")
    assert page.locator("#verdict strong").inner_text() == "happiness"
    clear = values(page, ".tile")
    assert sum(clear) == pytest.approx(1, abs=1e-4)
    assert page.locator(".tile.most, .tile.least").count() == 2
    page.click("[data-place=mouth]")
    wait_for_change(page, clear[0])
    assert "Uncovered: happiness" in page.locator("#before").inner_text()
    # What the network sees is what the Predictor sees under the same patch.
    from ran_tf.demo import occluder

    predictor = ran_tf.Predictor(MODEL)
    crop = predictor.faces([photos["one"]])[0][0].image
    patch = occluder.Occluder(y0=0.64, x0=0.2, y1=0.92, x1=0.8)
    (expected,) = predictor([occluder.cover(crop, patch)])
    np.testing.assert_allclose(values(page, ".bar"), expected.probabilities, atol=0.01)

    on_mouth = values(page, ".tile")
    box = page.locator("#patch").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 60, steps=10)
    page.mouse.up()
    assert page.locator("#patch").bounding_box()["y"] == pytest.approx(box["y"] - 60, abs=2)
    wait_for_change(page, on_mouth[0])
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Delete")
    assert not page.locator("#patch").is_visible()
    page.wait_for_function("() => !document.querySelector('#before').textContent")
    assert values(page, ".tile") == pytest.approx(clear, abs=1e-6)
    page.click("[data-place=eyes]")
    wait_for_change(page, clear[0])


@pytest.mark.large
def test_a_bad_file_and_a_photo_without_a_face_and_a_good_one(page, photos):
    choose(page, photos["broken"])
    page.get_by_text("cannot read that file").wait_for()
    choose(page, photos["none"])
    page.get_by_text("No face was found").wait_for()
    assert not page.locator("#answer").is_visible()
    choose(page, photos["two"])
    page.get_by_text("2 faces were found").wait_for()
    assert page.locator(".box[aria-pressed=true]").count() == 1


@pytest.mark.large
def test_the_camera(page):
    page.click("#camera")
    page.wait_for_selector(".box")
    assert page.locator("#verdict strong").inner_text() in page.evaluate(
        "[...document.querySelectorAll('.bar .name')].map(e => e.textContent)"
    )
    page.click("#camera")
    page.get_by_text("Use the camera").wait_for()
    page.click("[data-place=mouth]")
    page.get_by_text("You cover 17 %").wait_for()


@pytest.mark.large
def test_neither_page_nor_worker_can_reach_another_server(page, tmp_path):
    with serve(tmp_path) as other:
        address = f"http://127.0.0.1:{other.server_port}/"
        ask = f"fetch({address!r}, {{mode: 'no-cors'}}).then(() => 'reached', () => 'refused')"
        assert page.evaluate(ask) == "refused"
        (worker,) = page.workers
        assert worker.evaluate(ask) == "refused"
        other.shutdown()


@pytest.mark.large
def test_the_detector_of_the_page_is_that_of_the_package(folder):
    rng = np.random.default_rng(0)
    view = rng.integers(0, 256, (256, 256, 3), np.uint8)
    out = onnx_session.caller(onnx_session.open_session(folder / "proposals.onnx"))(
        view[None].astype(np.float32) / 127.5 - 1
    )
    odds = np.sort(out["classificators"].ravel())[-1]
    (best, *_) = blazeface_networks.load_proposals()(view, 0.0)
    assert best.score == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-5)
