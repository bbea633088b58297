"""report.md: the report of an evaluation as a person reads it."""

from collections.abc import Sequence

from ran_tf.safety.escaping import for_markdown
from ran_tf.weights.card import describe_model

ABOUT_SUBSETS = (
    "`all`: every face of the split. `occlusion`: faces that are partly covered (upper part, "
    "lower part, one side) or wear glasses. `pose_30` and `pose_45`: faces turned by more than 30 "
    "and 45 degrees. Where the dataset has the lists of the Region Attention Network's authors, "
    "the last three follow them. They may share faces."
)


def render(report: dict, *, figures: Sequence[str] = ()) -> str:
    """Markdown of a report.

    Args:
      report: from `report.build_report`.
      figures: file names of PNGs beside the report, shown at the end.
    """
    return document(
        f"# Evaluation of {for_markdown(report['model']['path'])}",
        _facts(report),
        "## Accuracy",
        table(subset_rows(report["subsets"])),
        ABOUT_SUBSETS + _empty(report["subsets"]),
        "Intervals of accuracies are Wilson's. The class mean is the mean recall of the classes "
        "present. ECE is the calibration error of the top probability (15 bins). NLL is the mean "
        "negative log-likelihood in nats.",
        *_baseline(report),
        "## Recall by class",
        "Per cent of the faces of a class (number of faces).",
        table(_recall_rows(report)),
        *_occlusions(report),
        *_agreement(report),
        *_regions(report),
        *_attention(report),
        *_disagreements(report),
        *_figures(figures),
    )


def document(*blocks: str) -> str:
    """Headings, paragraphs, lists and tables with a line between them."""
    return "\n\n".join(blocks) + "\n"


def percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def interval(pair: Sequence[float] | None, *, signed: bool = False) -> str:
    if pair is None:
        return "-"
    return " to ".join(f"{100 * end:{'+' if signed else ''}.2f}" for end in pair)


def subset_rows(subsets: dict) -> list[list[str]]:
    """The table of subsets, its head first; also for a terminal."""
    head = ["subset", "faces", "accuracy %", "95 % interval", "class mean %", "ECE %", "NLL"]
    return [
        head,
        *(
            [
                name,
                f"{row['count']:,}",
                percent(row["accuracy"]),
                interval(row["accuracy_ci95"]),
                percent(row["mean_class_accuracy"]),
                percent(row["ece"]),
                "-" if row["nll"] is None else f"{row['nll']:.3f}",
            ]
            for name, row in subsets.items()
        ),
    ]


def difference_rows(report: dict) -> list[list[str]]:
    """The table against the baseline, its head first; also for a terminal."""
    head = [
        "subset",
        "faces",
        "model %",
        "baseline %",
        "difference",
        "95 % interval",
        "only model right",
        "only baseline right",
    ]
    rows = [head]
    for name, row in report["differences"].items():
        gap = row["accuracy"]
        rows.append(
            [
                name,
                f"{row['count']:,}",
                percent(report["subsets"][name]["accuracy"]),
                percent(report["baseline"]["subsets"][name]["accuracy"]),
                "-" if gap is None else f"{100 * gap:+.2f}",
                interval(row["accuracy_ci95"], signed=True),
                f"{row['only_model_right']:,}",
                f"{row['only_baseline_right']:,}",
            ]
        )
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text, the head first; all columns but the first are set right."""
    head, *body = ("| " + " | ".join(map(for_markdown, row)) + " |" for row in rows)
    columns = len(rows[0]) - 1
    return "\n".join([head, "|---" + "|---:" * columns + "|", *body])


def name_model(model: dict) -> str:
    """Markdown of where a model is and what it is; takes its "path" and "card"."""
    return f"{code(model['path'])} ({for_markdown(describe_model(model['card']))})"


def code(text: str) -> str:
    """Markdown of a path, a command or another exact name."""
    return for_markdown(text, code=True)


def _facts(report: dict) -> str:
    flips = (
        "yes: probabilities are means over each face and its mirror image"
        if report["flip_average"]
        else "no"
    )
    lines = [
        f"- Dataset: {code(report['dataset'])}, split {code(report['split'])}",
        f"- Model: {name_model(report['model'])}",
    ]
    if "baseline" in report:
        lines.append(f"- Baseline: {name_model(report['baseline']['model'])}")
    lines += [f"- Flip averaging: {flips}", f"- Command: {code(report['command'])}"]
    return "\n".join(lines)


def _empty(subsets: dict) -> str:
    names = [f"`{name}`" for name, row in subsets.items() if row["count"] == 0]
    return f" No face of this split is marked as {' or '.join(names)}." if names else ""


def _baseline(report: dict) -> list[str]:
    if "baseline" not in report:
        return []
    return [
        "## Against the baseline",
        table(difference_rows(report)),
        "Difference: accuracy of the model minus accuracy of the baseline, in points, on the same "
        "faces. Its interval is a paired bootstrap over faces. An interval without zero is "
        "evidence of a difference.",
        "The baseline by itself:",
        table(subset_rows(report["baseline"]["subsets"])),
    ]


def _recall_rows(report: dict) -> list[list[str]]:
    subsets = report["subsets"]
    rows = [["class", *subsets]]
    for i, label in enumerate(report["labels"]):
        cells = []
        for subset in subsets.values():
            recall = subset["class_recall"][i]
            faces = sum(subset["confusion"][i])
            cells.append("-" if recall is None else f"{100 * recall:.1f} ({faces:,})")
        rows.append([label, *cells])
    return rows


def _occlusions(report: dict) -> list[str]:
    kinds = report["occlusions"]
    if sum(row["count"] > 0 for row in kinds.values()) < 2:
        return []
    exposed = any(row["exposure"] is not None for row in kinds.values())
    rows = [[*_accuracy_head("occlusion"), *["exposure"] * exposed]]
    for name, row in kinds.items():
        seen = "-" if row["exposure"] is None else f"{row['exposure']:.2f}"
        if row["count"]:
            rows.append([*_accuracy_row(name, row), *[seen] * exposed])
    about = [
        "Exposure: the covered share of the regions, averaged with the model's weights, divided "
        "by the same share with equal weights. Below 1, the model looks away from what is "
        "covered. The covered area is assumed from the kind: the upper 35 %, the lower 45 %, or a "
        "band at the eyes."
    ]
    return ["## By kind of occlusion", table(rows), *about * exposed]


def _agreement(report: dict) -> list[str]:
    agreement = report["agreement"]
    if agreement is None:
        return []
    rows = [_accuracy_head("votes for the label")]
    rows += [_accuracy_row(name, row) for name, row in agreement["shares"].items() if row["count"]]
    return [
        "## By agreement of the annotators",
        table(rows),
        "Another ten annotators with the same shares of votes would give "
        f"{percent(agreement['ceiling'])} % of the faces the same label. No model can be expected "
        "to agree with the labels more often.",
    ]


def _accuracy_head(name: str) -> list[str]:
    return [name, "faces", "accuracy %", "95 % interval"]


def _accuracy_row(name: str, row: dict) -> list[str]:
    count = f"{row['count']:,}"
    return [name, count, percent(row["accuracy"]), interval(row["accuracy_ci95"])]


def _regions(report: dict) -> list[str]:
    regions = report["regions"]
    if regions is None:
        return []
    rows = [["occlusion or pose", *regions["names"]]]
    for name, weights in (regions["weights"] | report["explain"]["pose_weights"]).items():
        if weights is not None:
            rows.append([name, *(f"{100 * weight:.1f}" for weight in weights)])
    return [
        "## Region weights",
        "Mean share of each region in the prediction, per cent, by kind of occlusion and by pose. "
        "`unturned`: faces on none of the pose lists.",
        table(rows),
    ]


def _attention(report: dict) -> list[str]:
    parts = {"model": report, "baseline": report.get("baseline")}
    found = {n: p["explain"]["mu"] for n, p in parts.items() if p and p["explain"]["mu"]}
    if not found:
        return []
    rows = [["", "mean mu, whole face", "best crop", "margin", *report["subsets"]]]
    for name, mu in found.items():
        cells = [f"{mu[key]['mean']:.4f}" for key in ("whole_face", "best_crop")]
        cells.append(f"{mu['margin']:g}")
        for share in mu["above_margin"].values():
            text = f"{percent(share['share'])} ({interval(share['share_ci95'])})"
            cells.append(text if share["count"] else "-")
        rows.append([name, *cells])
    return [
        "## Best crop against whole face",
        "Self-attention `mu` of the whole face, and of the best crop: the other region with the "
        "largest `mu`. Then, for each subset, the per cent of faces on which the best crop is "
        "ahead by at least the margin of the region biased loss in training (95 % interval). "
        "Faces with no region but the whole face are left out.",
        table(rows),
    ]


def _disagreements(report: dict) -> list[str]:
    if not report.get("disagreements"):
        return []
    rows = [["face", "truth", "model", "baseline", "distance"]]
    for face in report["disagreements"]:
        said = (f"{s['label']} {s['probability']:.2f}" for s in (face["model"], face["baseline"]))
        rows.append([face["id"], face["truth"], *said, f"{face['distance']:.2f}"])
    return [
        "## Largest disagreements",
        "Distance: half the sum of absolute differences of the probabilities.",
        table(rows),
    ]


def _figures(figures: Sequence[str]) -> list[str]:
    if not figures:
        return []
    return [
        "## Figures",
        "Rows of a confusion matrix are the true classes. Colours are shares of a row.",
        *(f"![{name.removesuffix('.png').replace('_', ' ')}]({name})" for name in figures),
    ]
