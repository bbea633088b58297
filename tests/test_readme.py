"""What the README and the first page of the site print, run as it stands there."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import skimage.data
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
README, START = ROOT / "README.md", ROOT / "docs" / "index.md"


def blocks(page, language):
    """The fenced blocks of a language."""
    return re.findall(rf"(?m)^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


@pytest.fixture
def run(synthetic_dir, tmp_path):
    """Runs a command line or Python in an empty folder, and returns what it prints."""

    def run(*command):
        path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        added = {"PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": synthetic_dir, "PATH": path}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, **added},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    return run


@pytest.mark.large
@pytest.mark.parametrize("page", [README, START], ids=["README", "index"])
def test_the_keras_example_runs(page, run, tmp_path):
    (code,) = (text for text in blocks(page, "py") if "model.fit" in text)
    assert run(sys.executable, "-c", code)
    assert (tmp_path / "mine" / "model.safetensors").exists()
    assert (tmp_path / "export" / "1").exists() == ("ran_tf.export" in code)


@pytest.mark.large
def test_the_first_lines_and_commands_answer_for_a_photo(run, tmp_path):
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.jpg")
    (code,) = (text for text in blocks(START, "py") if "photo.jpg" in text)
    (command,) = (text for text in blocks(README, "sh") if "--annotate=faces" in text)
    for said in (run(sys.executable, "-c", code), run("bash", "-ec", command)):
        assert "happiness" in said
    assert (tmp_path / "faces" / "photo_face0.png").exists()


@pytest.mark.large
def test_the_first_command_prints_what_the_page_says(run, tmp_path):
    (command,) = (text for text in blocks(START, "sh") if "--annotate=faces" in text)
    said = next(text for text in blocks(START, "text") if "astronaut.png face 0" in text)
    printed = re.sub("─+", "", run("bash", "-ec", command))  # the rule below the head
    assert printed.split() == said.split()
    assert (tmp_path / "faces" / "astronaut_face0.png").exists()
