"""The demo page in a real browser, with the packaged networks.

Needs the extra `demo`, `pip install playwright`, and Chromium on the path or in RAN_TF_CHROMIUM.
"""

import os
import pathlib

import cv2
import numpy as np
import pytest
import skimage.data

from tests.fixtures import chromium, demo_server

pytestmark = pytest.mark.large

_SECONDS = 60_000  # of patience with a busy machine, in ms


def write(path, image):
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "large.png").write_bytes(bytes(11_000_000))
    astronaut = skimage.data.astronaut()
    write(folder / "one.png", astronaut)
    write(folder / "two.png", demo_server.two_astronauts())
    write(folder / "none.png", np.ascontiguousarray(skimage.data.coffee()))
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    pytest.importorskip("gradio")
    with demo_server.serve(tmp_path_factory.mktemp("temporary")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright")
    program = chromium.find_program()
    if program is None:
        pytest.skip("no Chromium on the path; RAN_TF_CHROMIUM may name one")
    with chromium.launch(program) as started:
        yield started


@pytest.fixture(params=[1280, 390], ids=["desktop", "phone"])
def page(browser, url, request):
    """The page, opened; it must ask nobody but its server, and no script may fail."""
    phone = request.param < 600
    context = browser.new_context(
        viewport={"width": request.param, "height": 844 if phone else 900},
        has_touch=phone,
        color_scheme="dark" if phone else "light",
    )
    opened = context.new_page()
    opened.set_default_timeout(_SECONDS)
    asked, failed = [], []
    opened.on("request", lambda r: asked.append(r.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    opened.goto(url)
    opened.wait_for_selector("#ran-upload input[type=file]", state="attached")
    yield opened
    screenshots = os.environ.get("RAN_TF_SCREENSHOTS")
    if screenshots:
        name = f"{request.node.name}.png".replace("[", "_").replace("]", "")
        opened.screenshot(path=pathlib.Path(screenshots) / name, full_page=True)
    assert not failed
    assert asked and all(a.startswith((url, "data:", "blob:")) for a in asked)
    assert opened.evaluate("document.documentElement.scrollWidth") <= request.param
    context.close()


def drop(page, path):
    page.set_input_files("#ran-upload input[type=file]", path)


def values(page, selector):
    return [
        float(v) for v in page.locator(selector).evaluate_all("e => e.map(x => x.dataset.value)")
    ]


def drop_and_wait(page, path):
    drop(page, path)
    page.wait_for_selector(".ran-region")


def wait_for_change(page, before):
    page.wait_for_function(
        "v => Math.abs(document.querySelector('.ran-region').dataset.value - v) > 1e-4",
        arg=before,
    )


def test_a_photo_and_an_occluder(page, photos):
    drop_and_wait(page, photos / "one.png")
    assert page.locator(".ran-verdict strong").inner_text() == "happiness"
    assert len(values(page, ".ran-region")) == 6
    clear = values(page, ".ran-region")
    assert sum(clear) == pytest.approx(1, abs=1e-4)
    assert sum(values(page, ".ran-row")) == pytest.approx(1, abs=1e-4)
    assert (
        page.locator(".ran-region[data-mark=highest], .ran-region[data-mark=lowest]").count() == 2
    )
    assert page.locator(".ran-change").all_inner_texts() == [""] * 14
    assert "whole face only: happiness" in page.locator(".ran-legend").inner_text()

    page.click("[data-place=mouth]")
    wait_for_change(page, clear[0])
    on_mouth = values(page, ".ran-region")
    patch = page.locator(".ran-occluder")
    box = patch.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 30, steps=5)
    page.mouse.move(x, y - 90, steps=10)
    page.mouse.up()
    assert patch.bounding_box()["y"] == pytest.approx(box["y"] - 90, abs=2)
    wait_for_change(page, on_mouth[0])
    assert any(page.locator(".ran-region .ran-change").all_inner_texts())

    # Its corner, and the keys.
    corner = page.locator(".ran-handle").bounding_box()
    page.mouse.move(corner["x"] + 14, corner["y"] + 14)
    page.mouse.down()
    page.mouse.move(corner["x"] + 34, corner["y"] + 44, steps=5)
    page.mouse.up()
    larger = patch.bounding_box()
    assert larger["width"] == pytest.approx(box["width"] + 20, abs=2)
    assert larger["height"] == pytest.approx(box["height"] + 30, abs=2)
    page.keyboard.press("ArrowLeft")
    assert patch.bounding_box()["x"] < larger["x"]
    page.keyboard.press("Shift+ArrowUp")
    assert patch.bounding_box()["height"] < larger["height"]
    page.keyboard.press("Delete")
    assert not patch.is_visible()
    page.wait_for_function("() => !document.querySelector('.ran-change:not(:empty)')")
    assert values(page, ".ran-region") == pytest.approx(clear, abs=1e-5)


def test_a_finger(page, photos):
    if page.viewport_size["width"] > 600:
        pytest.skip("a phone's")
    drop_and_wait(page, photos / "one.png")
    clear = values(page, ".ran-region")
    stage = page.locator(".ran-stage")
    stage.scroll_into_view_if_needed()
    stage.tap(position={"x": 100, "y": 80})
    wait_for_change(page, clear[0])
    patch = page.locator(".ran-occluder").bounding_box()
    frame = stage.bounding_box()
    assert patch["x"] + patch["width"] / 2 == pytest.approx(frame["x"] + 100, abs=2)
    assert patch["y"] + patch["height"] / 2 == pytest.approx(frame["y"] + 80, abs=2)


def test_two_faces(page, photos):
    drop_and_wait(page, photos / "two.png")
    assert "2 faces were found" in page.locator(".ran-message").inner_text()
    boxes = page.locator(".ran-box")
    pressed = boxes.evaluate_all("e => e.map(x => x.ariaPressed)")
    assert sorted(pressed) == ["false", "true"]
    other = pressed.index("false")
    first = page.locator(".ran-stage img").get_attribute("src")
    page.click("[data-place=eyes]")
    boxes.nth(other).click()
    page.wait_for_function(
        "src => document.querySelector('.ran-stage img').getAttribute('src') != src", arg=first
    )
    assert boxes.nth(other).get_attribute("aria-pressed") == "true"
    assert not page.locator(".ran-occluder").is_visible(), "the new face is uncovered"


def test_bad_files_and_then_a_good_one(page, photos):
    drop(page, photos / "broken.jpg")
    page.wait_for_selector(".ran-error")
    assert "Not an image that can be read" in page.locator(".ran-error").inner_text()
    drop(page, photos / "large.png")
    page.get_by_text("maximum", exact=False).first.wait_for()
    drop_and_wait(page, photos / "one.png")
    assert not page.locator(".ran-error").count()


def test_no_face_and_the_whole_picture(page, photos):
    drop(page, photos / "none.png")
    page.wait_for_selector("#ran-whole")
    assert "No face was found" in page.locator(".ran-message").inner_text()
    assert not page.locator(".ran-region").count()
    page.click("#ran-whole")
    page.wait_for_selector(".ran-region")
    assert "whole picture is treated" in page.locator(".ran-message").inner_text()


def test_the_camera(page):
    page.locator("#ran-upload button[aria-label='Capture from camera']").click()
    page.get_by_text("Click to Access Webcam").click()
    # A picture that is taken before there is one is never sent.
    page.wait_for_function("() => document.querySelector('#ran-upload video')?.currentTime > 0.5")
    page.locator("#ran-upload button[aria-label='capture photo']").click()
    page.wait_for_selector(".ran-message")
    assert "No face was found" in page.locator(".ran-message").inner_text()
