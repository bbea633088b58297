"""Makes the README's picture of the demo page, with the packaged networks:

    python -m tests.demo_picture docs/demo.jpg

Needs what `test_demo_browser.py` needs. Prints what the picture shows.
"""

import pathlib
import sys
import tempfile

import cv2
import skimage.data

from tests import chromium, demo_server

_SECONDS = 60_000  # of patience with a busy machine, in ms


def main(out: pathlib.Path) -> None:
    program = chromium.find_program()
    if program is None:
        sys.exit("no Chromium on the path; RAN_TF_CHROMIUM may name one")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        photo = folder / "astronaut.png"
        cv2.imwrite(str(photo), skimage.data.astronaut()[..., ::-1])
        temporary = folder / "server"
        temporary.mkdir()
        with demo_server.serve(temporary) as url, chromium.launch(program) as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
            page.set_default_timeout(_SECONDS)
            page.goto(url)
            page.set_input_files("#ran-upload input[type=file]", photo)
            page.wait_for_selector(".ran-region")
            page.click("[data-place=eyes]")
            page.wait_for_selector(".ran-region .ran-change:not(:empty)")
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)  # until the bars have moved
            page.screenshot(path=out, type="jpeg", quality=90)
            print(page.locator(".ran-verdict").inner_text())
            print(page.locator(".ran-regions").inner_text())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
