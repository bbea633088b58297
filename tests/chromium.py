"""Chromium without a window, for the tests of the demo page and the picture of it."""

import contextlib
import os
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_program() -> str | None:
    """RAN_TF_CHROMIUM, or the first on the path."""
    return os.environ.get("RAN_TF_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def launch(program: str):
    """Yields playwright's browser, which has a fake camera."""
    import playwright.sync_api

    # No sandbox, which root may not have.
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_api.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=program, args=arguments, chromium_sandbox=False
        )
        yield started
        started.close()
