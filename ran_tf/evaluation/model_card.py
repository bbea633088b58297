"""README.md of a preset: what a person must know before using the weights."""

import dataclasses
import json
import pathlib

from ran_tf.evaluation import markdown
from ran_tf.safety.escaping import for_markdown
from ran_tf.weights.card import ModelCard, describe_model

# Terms of the data that presets may be trained on; others are named by the maker.
_TERMS = {
    "ferplus": "Images of FER2013 (Goodfellow et al. 2013) with the labels of FERPlus (Barsoum et "
    "al. 2016): given out for research.",
}


# Whose eyes saw which expressions in whose pictures.
_ABOUT = {
    "ferplus": "The model names the expression that a handful of raters would see in a picture, "
    "not what a person feels. Its data are web images with unknown shares of age, sex and origin; "
    "accuracy differs between groups and was not measured for them. Rare classes (disgust, fear, "
    "contempt) are recognised far less well than common ones.",
}
_ABOUT_ANY = (
    "The model names the expression that those who labelled its data would see in a picture, not "
    "what a person feels. Accuracy differs between groups of people and was not measured for them."
)


def render(
    name: str,
    *,
    card: ModelCard,
    made: dict,
    starts: list[dict],
    report: dict | None,
    mean: dict[str, float],
    backbone_origin: str | None,
) -> str:
    """Markdown of the model card.

    Args:
      name: of the preset.
      card: its card.
      made: contents of known_output.json.
      starts: of the training run, from its run.json; none if it left no such file.
      report: report.json of an evaluation.
      mean: share of every network in the mean of weights that this is; "" is the training run.
      backbone_origin: whose weights training started from, with licence and data.
    """
    height, width = card.image_size
    data = f"Trained on {markdown.code(starts[-1]['dataset'] if starts else card.dataset)}"
    if starts:
        flags = starts[-1]["flags"]
        data += f", split {markdown.code(flags['train_split'])}; {_chosen(flags)}"
    colour = "removed" if card.colour == "grey" else "kept"
    facts = (
        f"Classes, in order: {', '.join(map(for_markdown, card.labels))}.",
        f"Input: RGB faces of any size. The predictor and exports resize them to {height}x{width} "
        f"px, colour {colour}. The signature `regions`, ONNX and TFLite take crops of such faces.",
        *_temperature(card),
        *_covered(card),
        f"Photos (`align=True`) are cut with margin {card.crop_margin:g} and drop "
        f"{card.crop_drop:g} of the ArcFace square, as the training faces are framed.",
        f"Weights: float16 on disk, {made['weights_bytes'] / 1e6:.1f} MB, SHA-256 "
        f"`{made['weights_sha256']}`.{_rounding(made)}",
    )
    return markdown.document(
        f"# {for_markdown(name)}",
        f"Facial expression recognition: {for_markdown(describe_model(dataclasses.asdict(card)))}.",
        "```python\nimport ran_tf\n\n# align=False for face crops\n"
        f"predictor = ran_tf.Predictor({json.dumps(name)}, align=True)\n```",
        "\n".join(f"- {fact}" for fact in facts),
        "## Data and protocol",
        f"{data}.{_mean(mean)}",
        *(_numbers(report) if report else []),
        "## Origin of the backbone",
        backbone_origin or _origin(starts),
        "## Terms",
        _TERMS.get(card.family, f"The terms of the dataset {markdown.code(card.dataset)}.")
        + "\nUse the weights for research only; see NOTICE in the repository of ran_tf.",
        "## Not for",
        "Decisions about people: hiring, schooling, policing, insurance, credit, medicine, border "
        "control, surveillance. " + _ABOUT.get(card.family, _ABOUT_ANY),
    )


def _temperature(card: ModelCard) -> list[str]:
    if card.temperature == 1.0:
        return []
    return [
        f"The weights divide the logits by {card.temperature:.3f}, the temperature at which the "
        "probabilities fit the validation split best."
    ]


def _covered(card: ModelCard) -> list[str]:
    if card.covered is None:
        return []
    return [
        "Answers say how much of the face is covered, as the region weights tell it. On drawn "
        f"occluders of kinds that training never shows, the AUC is {card.covered.auc:.2f}. Real "
        "covers are found less well."
    ]


def _rounding(made: dict) -> str:
    if "changed" not in made:
        return ""
    return (
        f" Rounding changed the class of {made['changed']:,} of {made['count']:,} faces of "
        f"{markdown.code(made['split'])}."
    )


def _chosen(flags: dict) -> str:
    # Runs from before the flag `keep` kept the best epoch.
    if flags.get("keep", "best") == "last":
        return "the weights are those after the last epoch; no epoch was chosen"
    return f"the epoch was chosen on {markdown.code(flags['validation_split'])}"


def _mean(shares: dict[str, float]) -> str:
    if len(shares) == 1:
        return ""
    parts = [
        f"{100 * share:.4g} % of {markdown.code(name) if name else 'these weights'}"
        for name, share in shares.items()
    ]
    return f" Then averaged: {', '.join(parts[:-1])} and {parts[-1]}."


def _origin(starts: list[dict]) -> str:
    if not starts:
        return "Not known: the run has no run.json."
    # A run that goes on need not name again what it began with.
    named = [s["init_weights"] for s in starts if s["init_weights"] is not None]
    if not named:
        return "Random initialisation."
    # No path: it says nothing to others, and perhaps too much.
    return (
        f"Training started from {markdown.code(pathlib.PurePath(named[0]).name)}, whose terms "
        "also hold for these weights. The maker of this preset did not say where they come from."
    )


def _numbers(report: dict) -> list[str]:
    flips = "averaged over each face and its mirror image" if report["flip_average"] else "as is"
    recalls = zip(report["labels"], report["subsets"]["all"]["class_recall"], strict=True)
    by_class = (f"{for_markdown(label)} {markdown.percent(recall)}" for label, recall in recalls)
    return [
        "## Numbers",
        f"{markdown.code(report['dataset'])}, split {markdown.code(report['split'])}, faces "
        f"{flips}. Measured by `ran_tf.launch.evaluate`, before the weights were rounded.",
        markdown.table(markdown.subset_rows(report["subsets"])),
        markdown.ABOUT_SUBSETS,
        f"Recall by class: {', '.join(by_class)} %.",
    ]
