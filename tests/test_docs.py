"""What the README and docs/ print is there: files that are linked to, commands and their flags."""

import importlib
import pathlib
import re

import pytest
from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "docs" / "tutorials").glob("*.py"),
    ]
)
# Flags of absl and of `command.run`.
EVERYWHERE = {"flagfile", "help", "import", "verbosity"}


def names(page):
    return str(page.relative_to(ROOT))


def text_of(page):
    """A page's Markdown, without the code of a tutorial's cells."""
    text = page.read_text()
    if page.suffix == ".py":
        text = "\n".join(re.findall(r"(?m)^# ?(?!%%)(.*)$", text))
    return text


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_to_files_of_the_repository(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", text_of(page), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" in target:
            continue
        there = (page.parent / target).resolve()
        assert there.exists() or _is_made(there), target


def _is_made(path):
    """Whether a page is made when the site is built, see docs/hooks.py."""
    hooks = (ROOT / "docs" / "hooks.py").read_text()
    return path.parent.name == "reference" and f'"{path.stem}' in hooks


@pytest.fixture(scope="module")
def flags_of():
    """Flags of a command by its name."""
    known = {}

    def find(command):
        if command not in known:
            module = importlib.import_module(f"ran_tf.launch.{command}")
            before = set(flags.FLAGS)
            module.define_flags()
            known[command] = set(flags.FLAGS) - before
            for name in known[command]:
                delattr(flags.FLAGS, name)
        return known[command] | EVERYWHERE

    return find


def commands(text):
    """Of each command in a text, its name and the names of its flags."""
    text = text.replace("\\\n", " ")
    spans = re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.S)
    spans += re.findall(r"(?<!`)`([^`]+)`(?!`)", text)
    for span in spans:
        for line in re.sub(r"\n(?!python|pip|curl)", " ", span).splitlines():
            for command, rest in re.findall(
                r"python[\d.]* -m ran_tf\.launch\.(\w+)([^|;&>]*)", line
            ):
                # Behind a bare -- stands what goes to Beam.
                yield command, re.findall(r"(?<!\S)\[?--(\w+)", rest.partition(" -- ")[0])


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_have_the_flags_that_they_are_printed_with(page, flags_of):
    for command, given in commands(text_of(page)):
        if command in ("flags", "COMMAND"):
            continue
        known = flags_of(command)
        for name in given:
            assert name in known or name.removeprefix("no") in known, f"{command} --{name}"


def test_commands_are_found_in_a_page():
    text = "```sh\npython -m ran_tf.launch.train --a=1 \\\n  --b\n```\n"
    text += "`python -m ran_tf.launch.serve --c`"
    assert list(commands(text)) == [("train", ["a", "b"]), ("serve", ["c"])]


def test_errors_that_a_page_explains_are_those_of_the_package():
    sources = [path.read_text() for path in (ROOT / "ran_tf").rglob("*.py")]
    # Words of one message stand in several strings, one below the other.
    said = re.sub(r"""["']\s*\n\s*f?["']""", "", "\n".join(sources))
    table = (ROOT / "docs" / "questions.md").read_text().partition("| The error says |")[2]
    explained = re.findall(r"(?m)^\| `([^`]+)` \|", table)
    assert len(explained) > 10
    assert [words for words in explained if words not in said] == []
