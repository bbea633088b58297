"""What the site has beside the pages in docs/: reference pages, made of the package; files of the
repository that are pages, too; links as the repository has them; and formulas.

A link in a page says where a file lies in the repository, so that it works there. What is a page of
the site is linked to; of anything else its path is shown.
"""

import ast
import importlib
import logging
import pathlib
import posixpath
import re
import sys
import textwrap

from absl import flags
from latex2mathml import converter
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
log = logging.getLogger("mkdocs.hooks.ran_tf")

# Files outside of docs/ that are pages: page to file.
OUTSIDE = {
    **{
        f"datasets/{readme.parent.name}.md": readme.relative_to(ROOT).as_posix()
        for readme in sorted(ROOT.glob("tfds_builders/*/README.md"))
    },
    **{
        f"models/{readme.parent.name}.md": readme.relative_to(ROOT).as_posix()
        for readme in sorted(ROOT.glob("ran_tf/presets/*/README.md"))
    },
    "results/experiments.md": "experiments/README.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/security.md": "SECURITY.md",
    "project/licences.md": "LICENSES-OF-DEPENDENCIES.md",
}

# A page of the reference: its title, the rooms whose public names it shows, and what these return.
PAGES = {
    "inference": ("Predictions", ("inference", "demo"), ()),
    "data": ("Datasets", ("data", "vocabulary"), ("ran_tf.data.load.Data",)),
    "faces": (
        "Faces in photos",
        ("faces",),
        ("ran_tf.faces.face.Face", "ran_tf.faces.folder.Summary"),
    ),
    "networks": ("Networks and losses", ("models",), ()),
    "regions": ("Regions", ("regions",), ()),
    "training": (
        "Training",
        ("config", "training"),
        ("ran_tf.training.loop.TrainedRun",),
    ),
    "evaluation": (
        "Evaluation",
        ("evaluation",),
        (
            "ran_tf.evaluation.results.Subset",
            "ran_tf.evaluation.results.Difference",
            "ran_tf.evaluation.robustness.robustness.RobustnessReport",
        ),
    ),
    "weights": (
        "Weights, exports and the server",
        ("weights", "exports", "serving"),
        ("ran_tf.weights.card.ModelCard",),
    ),
    "extending": (
        "What you may add",
        ("registry",),
        (),
    ),
}


def on_files(files, config):
    if str(ROOT) not in sys.path:  # MkDocs takes back what hooks change when they are loaded
        sys.path.insert(0, str(ROOT))
    for page, path in OUTSIDE.items():
        text = (ROOT / path).read_text()
        # A heading of their own, without which MkDocs takes a first line "AffectNet: ..." for data.
        head = "" if text.startswith("# ") else f"# {pathlib.Path(page).stem}\n\n"
        files.append(File.generated(config, page, content=head + text))
    for name in PAGES:
        files.append(File.generated(config, f"reference/{name}.md", content=_api(name)))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    for file in [
        f for f in files if f.src_uri.startswith("tutorials/") and f.src_uri[-3:] == ".py"
    ]:
        files.remove(file)
        text = _tutorial(pathlib.Path(file.abs_src_path).read_text())
        files.append(File.generated(config, f"{file.src_uri[:-3]}.md", content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    uri = page.file.src_uri
    markdown = re.sub(r"```math\n(.*?)```", _formula, markdown, flags=re.S)
    here = posixpath.dirname(OUTSIDE.get(uri, f"docs/{uri}"))
    return re.sub(r"(?<!!)\[([^][]*)\]\(([^)#:\s]+)(#[^)]*)?\)", _link(uri, here, files), markdown)


def _link(uri: str, here: str, files):
    """Replaces a link of the repository by one of the site."""
    pages = {path: page for page, path in OUTSIDE.items()}

    def replace(found: re.Match) -> str:
        text, target, anchor = found.groups()
        path = posixpath.normpath(posixpath.join(here, target))
        page = pages.get(path, path.removeprefix("docs/"))
        page = re.sub(r"^(tutorials/\w+)\.py$", r"\1.md", page)  # a notebook is a page of that name
        if path == "README.md":
            page = "index.md"
        if files.get_file_from_path(page):
            return f"[{text}]({posixpath.relpath(page, posixpath.dirname(uri))}{anchor or ''})"
        if not (ROOT / path).exists():
            log.warning("%s links to %s, which is not in the repository", uri, target)
        return text if path in text or posixpath.basename(path) in text else f"{text} (`{path}`)"

    return replace


def _formula(found: re.Match) -> str:
    return f"<div class='formula'>{converter.convert(found[1].strip(), display='block')}</div>"


def _homes() -> dict[str, str]:
    """Public names, with the modules that define them."""
    return {
        alias.name: f"ran_tf.{node.module}"
        for node in ast.walk(ast.parse((ROOT / "ran_tf" / "__init__.pyi").read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }


def _api(name: str) -> str:
    title, rooms, returned = PAGES[name]
    homes = _homes()
    known = {room for _, rooms, _ in PAGES.values() for room in rooms}
    if lost := [name for name, home in homes.items() if home.split(".")[1] not in known]:
        raise ValueError(f"docs/hooks.py has no page for {lost}")
    public = [f"{home}.{name}" for name, home in homes.items() if home.split(".")[1] in rooms]
    parts = [f"::: {path}\n    options:\n      heading: ran_tf.{_last(path)}" for path in public]
    if returned:
        parts.append("Types that these take and return, with their modules:")
        parts += [f"::: {path}\n    options:\n      heading: {path}" for path in returned]
    parts = [
        f"{part}\n      toc_label: {_last(part)}" if part[0] == ":" else part for part in parts
    ]
    return "\n\n".join([f"# {title}", *parts, ""])


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _commands() -> str:
    """Every command: what it says of itself, and its flags."""
    launch = importlib.import_module("ran_tf.launch.flags")
    settings = {
        s.flag for s in importlib.import_module("ran_tf.settings").settings_of(launch.TrainConfig)
    }
    parts = [
        "# Commands",
        "`python -m ran_tf.launch.COMMAND --help` prints the same. A flag is written "
        "`--name=value`, and one that is on or off `--name` or `--noname`. `--flagfile=FILE` reads "
        "flags from a file, `--import=MODULE` imports a module with parts of your own, and "
        "`--verbosity=1` shows tracebacks.",
    ]
    for path in sorted((ROOT / "ran_tf" / "launch").glob("*.py")):
        text = path.read_text()
        if '__name__ == "__main__"' not in text or "def define_flags" not in text:
            continue
        module = importlib.import_module(f"ran_tf.launch.{path.stem}")
        before = set(flags.FLAGS)
        module.define_flags()
        new = [name for name in flags.FLAGS if name not in before]
        found = {name: flags.FLAGS[name] for name in new if flags.FLAGS[name].help}
        for name in new:
            delattr(flags.FLAGS, name)
        parts += [f"## {path.stem}", _plain(module.__doc__)]
        # All of a run's settings are on a page of their own; a few are rows here.
        shared = settings if settings <= set(found) else set()
        rows = [
            f"| `--{name}` | {_default(flag)} | {_cell(flag.help)} |"
            for name, flag in sorted(found.items())
            if name not in shared
        ]
        if rows:
            parts.append("\n".join(["| Flag | Default | Meaning |", "|---|---|---|", *rows]))
        if shared:
            parts.append("It also takes every setting of [a run](../settings.md).")
    return "\n\n".join([*parts, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(flag) -> str:
    if flag.default is None:
        return "-"
    return f"`{flag.default}`"


def _plain(doc: str) -> str:
    """A command's docstring as Markdown: its lines of commands are code."""
    paragraphs = []
    for paragraph in doc.strip().split("\n\n"):
        if re.match(r"(    )?python -m ", paragraph) or paragraph.startswith("    "):
            paragraphs.append(f"```text\n{textwrap.dedent(paragraph)}\n```")
        else:
            head, _, rest = paragraph.partition(":\n    ")
            code = f":\n\n```text\n{textwrap.dedent(f'    {rest}')}\n```" if rest else ""
            paragraphs.append(re.sub(r"(?<!`)(--\w+(?:=\S*[\w-])?)", r"`\1`", head) + code)
    return "\n\n".join(paragraphs)


def _tutorial(text: str) -> str:
    """A notebook kept as text (jupytext's percent format) as Markdown."""
    parts = []
    for cell in re.split(r"^# %%", text, flags=re.M)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(
                "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.splitlines())
            )
        elif body.strip():
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join([*parts, ""])
