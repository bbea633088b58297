"""Names of others on a terminal, in Markdown and in CSV."""

import csv
import dataclasses
import io
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran_tf.evaluation import report, results
from ran_tf.launch import predict_output, terminal
from ran_tf.safety import escaping
from tests.evaluation import test_report
from tests.inference.test_predict_files import LABELS, make_columns

HOSTILE = (
    "\x1b]0;title\x07",
    "a\nb\r",
    "\x9b2J",
    "a\u2028b",
    "gnp\u202egpj",
    "\udcff",
    "[/x]",
    "[red]a[/red]",
    ":smile:",
    "a|b",
    "<img src=x>",
    "`a``b`",
    r"\|",
    "=1+1",
    "@x",
    r"$\foo$",
)


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_terminal_gets_one_line_of_visible_text(text):
    shown = escaping.for_terminal(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068")


def test_what_is_harmless_stays_as_it_is():
    for text in (
        "joy",
        "Zufriedenheit, groß",
        "喜び",
        "\u0645\u0641\u0627",
        "a b.png",
        "👩\u200d👩",
    ):
        assert escaping.for_terminal(text) == text
        assert escaping.for_markdown(text) == text
        assert escaping.for_csv(text) == text
    assert escaping.for_markdown("pose_30") == "pose_30"


@given(st.text() | st.sampled_from(HOSTILE))
def test_no_sign_of_markdown_is_left_and_what_is_read_is_the_text(text):
    cell = escaping.for_markdown(text)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", cell)  # what CommonMark lets a backslash escape
    assert not set(bare) & set("|<>`*[]&\n\r")
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell) == escaping.for_terminal(text)


@pytest.mark.parametrize("text", ["a", "`", "a`b", "``a", "a|b", "<b>"])
def test_a_code_span_ends_where_the_text_does(text):
    span = escaping.for_markdown(text, code=True)
    fence = re.match("`+", span)[0]
    assert span.endswith(fence) and fence not in re.split("(?<!`)" + fence + "(?!`)", span)[1]
    assert span.strip("`").strip() == text.strip("`").strip() or "`" in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start):
    assert escaping.for_csv(f"{start}1") == f"'{start}1"
    assert escaping.for_csv(f"{start}1.png", path=True) == f"./{start}1.png"
    assert escaping.for_csv(-1.5) == -1.5


@pytest.mark.parametrize("label", [text for text in HOSTILE if text.isprintable()])
def test_every_form_of_predict_takes_any_class(label, capsys):
    row = {
        "path": label,
        "label": label,
        "probability": 1.0,
        "heaviest_region": "whole face",
        "probabilities": {label: 1.0},
        "weights": [1.0],
        "boxes": [[0, 0, 1, 1]],
    }
    gone = {"path": label, "error": "gone"}
    columns = make_columns((label, "other"), k=1, found=False)
    for form in ("json", "csv", "table"):
        predict_output.print_rows([row, gone], [], form=form, columns=columns)
        said = capsys.readouterr()
        assert f"{label}: gone" in said.err
        if form == "table":
            assert said.out.count(label) == 2
        elif form == "csv":
            cells = next(csv.DictReader(io.StringIO(said.out)))
            assert cells["label"].removeprefix("'") == label
            assert not re.match(r"[=+@-]", cells["label"] + cells["path"])


def test_no_control_character_of_a_file_reaches_the_terminal(capsys):
    columns = make_columns(LABELS, k=1, found=False)
    for name in HOSTILE:
        rows = [{"path": name, "error": name}]
        predict_output.print_rows(rows, [], form="table", columns=columns)
        terminal.say(name)
        screen = terminal.open_console()
        screen.print(results.make_table([[name, name], [name, name]], title=name))
        said = capsys.readouterr()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\udc80-\udcff]", said.out)
        assert said.err.count("\n") == 1
        assert escaping.for_terminal(name) in said.out


def test_a_report_takes_any_class(tmp_path):
    labels = (*HOSTILE[6:13], r"$\foo$")
    some = test_report.make_predictions(np.ones(100, bool))
    card = dataclasses.replace(test_report.make_card(), labels=labels)
    made = report.build_report(
        report.Evaluated(name="a|`b`\n", card=card, predictions=some),
        dataset="ferplus",
        split="test",
        flip_average=False,
        command="x `y` \n| z",
    )
    report.write_report(made, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    for label in labels:
        (row,) = (x for x in lines if x.startswith(f"| {escaping.for_markdown(label)} |"))
        assert len(re.findall(r"(?<!\\)\|", row)) == 2 + len(made["subsets"])
    assert lines[0] == r"# Evaluation of a\|\`b\`\\n"
    assert r"- Command: ``x `y` \n| z``" in lines
