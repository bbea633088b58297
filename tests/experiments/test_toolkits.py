"""The table of other toolkits is that of its results file."""

import json
import pathlib

from experiments import toolkits

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "results"


def test_the_page_shows_the_results():
    found = json.loads((RESULTS / "toolkits.json").read_text())
    page = (RESULTS / "toolkits.md").read_text()
    assert toolkits.table(found) in page
    faces = {row["count"] for model in found.values() for row in model.values() if "count" in row}
    assert faces <= {600}
