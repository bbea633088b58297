"""python -m ran_tf.launch.predict --model=PRESET|EXPORT_DIR|WORKDIR PATH... [--json|--csv]

Classifies face crops: image files, folders (searched in depth) and globs. Shows a table, or with
--json or --csv prints all probabilities, weights and boxes. What cannot be read is listed and does
not stop the others; the exit status is then 1.
"""

import csv
import glob
import json
import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from ran_tf.launch import command
from ran_tf.regions.words import describe_region


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("model", None, "Preset, export or workdir of a run.", required=True)
    flags.DEFINE_integer("batch_size", 32, "Faces at once.", lower_bound=1)
    flags.DEFINE_bool("json", False, "Print JSON in place of a table.")
    flags.DEFINE_bool("csv", False, "Print CSV in place of a table.")


def find_images(arguments: Sequence[str]) -> tuple[list[pathlib.Path], list[dict]]:
    """The files that paths, folders and globs mean, in order and each once.

    Returns:
      files, and for each argument that means none `{"path", "error"}`.
    """
    from ran_tf import images

    found, failures = {}, []
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        if path.is_dir():
            matches = sorted(p for p in path.rglob("*") if p.suffix.lower() in images.SUFFIXES)
            error = f"no image in this folder {images.SUFFIXES}"
        elif path.exists() or not glob.has_magic(argument):
            matches, error = [path], ""
        else:
            names = sorted(glob.glob(str(path), recursive=True))
            matches = [p for p in map(pathlib.Path, names) if p.is_file()]
            error = "no file matches"
        if not matches:
            failures.append({"path": argument, "error": error})
        found.update(dict.fromkeys(matches))
    return list(found), failures


def predict_files(predictor, paths: Sequence[pathlib.Path], *, batch_size: int) -> list[dict]:
    """One dict a file: path and prediction, or path and error."""
    from ran_tf import images

    rows = []
    for start in range(0, len(paths), batch_size):
        faces, batch = [], []
        for path in paths[start : start + batch_size]:
            row = {"path": str(path)}
            try:
                faces.append(images.read_image(path))
                batch.append(row)
            except OSError as error:
                row["error"] = error.strerror or str(error)
            except ValueError as error:
                row["error"] = str(error)
            rows.append(row)
        for row, prediction in zip(batch, predictor(faces), strict=True):
            row.update(_to_dict(prediction, labels=predictor.labels))
    return rows


def main(arguments: Sequence[str]) -> None:
    values = flags.FLAGS
    if not arguments:
        raise ValueError("name at least one PATH: image files, folders or globs. Received: none")
    if values.json and values.csv:
        raise ValueError("choose one output. Received: --json --csv")
    import ran_tf

    paths, failures = find_images(arguments)
    predictor = ran_tf.Predictor(values.model, batch_size=values.batch_size)
    rows = [*predict_files(predictor, paths, batch_size=values.batch_size), *failures]
    if values.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
    elif values.csv:
        _print_csv(rows, labels=predictor.labels)
    else:
        _print_table(rows)
    failed = [row for row in rows if "error" in row]
    for row in failed:
        print(f"{row['path']}: {row['error']}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(rows)} failed", file=sys.stderr)
        sys.exit(1)


def _to_dict(prediction, *, labels: Sequence[str]) -> dict:
    """A prediction as JSON has it."""
    heaviest = int(prediction.weights.argmax())
    numbers = (round(float(p), 6) for p in prediction.probabilities)
    return {
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "heaviest_region": describe_region(prediction.boxes[heaviest]),
        "probabilities": dict(zip(labels, numbers, strict=True)),
        "weights": [round(float(w), 6) for w in prediction.weights],
        "boxes": [[round(float(side), 6) for side in box] for box in prediction.boxes],
    }


def _print_csv(rows: Sequence[dict], *, labels: Sequence[str]) -> None:
    """A row a file: probabilities in columns p_<label>, weights in w_<region index>."""
    k = max((len(row["weights"]) for row in rows if "weights" in row), default=0)
    shared = ["path", "label", "probability", "heaviest_region"]
    columns = [*shared, *(f"p_{label}" for label in labels), *(f"w_{i}" for i in range(k)), "error"]
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {name: row[name] for name in (*shared, "error") if name in row}
        flat |= {f"p_{label}": p for label, p in row.get("probabilities", {}).items()}
        flat |= {f"w_{i}": w for i, w in enumerate(row.get("weights", []))}
        writer.writerow(flat)


def _print_table(rows: Sequence[dict]) -> None:
    from rich import box, console, table, text

    out = console.Console(highlight=False)
    if not out.is_terminal:
        out.width = 10_000  # a file has no width: nothing is folded there
    shown = table.Table(box=box.SIMPLE_HEAD)
    shown.add_column("face", overflow="fold")
    shown.add_column("expression")
    shown.add_column("probability", justify="right")
    shown.add_column("heaviest region")
    for row in rows:
        if "error" in row:
            continue
        region = f"{row['heaviest_region']} ({max(row['weights']):.0%} of the weight)"
        # File names may look like rich's markup.
        face = text.Text(row["path"])
        shown.add_row(face, row["label"], f"{row['probability']:.1%}", region)
    if shown.row_count:
        out.print(shown)


if __name__ == "__main__":
    command.run(main, define_flags=define_flags, takes_paths=True)
