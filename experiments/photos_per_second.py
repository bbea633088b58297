"""Photos a second, from files to rows, beside the package `fer`; and one photo, beside MTCNN.

    python -m venv fer && fer/bin/pip install fer
    python -m experiments.photos_per_second --photos=photos --fer=fer/bin/python

`photos` is a folder with photos of tests/fixtures/photo_faces.py. They are repeated with longer
sides of 480 to 1,280 pixels, drawn with seed 0, until there are 1,000, in a folder that is deleted.
Each program has its own process and loads once; they take turns, while the others wait.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

TURNS, PHOTOS, ONE, REPEATED = 4, 1000, 512, 10
MODEL = "ran_faceres_shared_ferplus"


def ran_tf_worker(detector: str, engine: str):
    import ran_tf

    predictor = ran_tf.Predictor(MODEL, align=True, detector=detector, engine=engine)

    def find(paths) -> list[tuple[str, list[float]]]:
        rows = ran_tf.predict_files(predictor, paths, align=True)
        return [(row["path"], row["box"]) for row in rows if "label" in row]

    return find


def fer_worker():
    from fer.fer import FER

    # The cascade and the quantised network, as by default.
    finder = FER()

    def find(paths) -> list[tuple[str, list[float]]]:
        found = []
        for path in paths:
            for face in finder.detect_emotions(cv2.imread(path)):
                x, y, width, height = map(float, face["box"])
                found.append((path, [y, x, y + height, x + width]))
        return found

    return find


WORKERS = {
    "ran_tf": lambda: ran_tf_worker("blazeface", "auto"),
    "ran_tf, MTCNN and Keras": lambda: ran_tf_worker("mtcnn", "keras"),
    "fer": fer_worker,
}


def work(name: str) -> None:
    """Answers lines of paths with boxes and seconds."""
    with contextlib.redirect_stdout(sys.stderr):
        find = WORKERS[name]()
    for line in sys.stdin:
        paths = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(sys.stderr):
            boxes = find(paths)
        said = {
            "boxes": boxes,
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
        }
        print(json.dumps(said), flush=True)


class Worker:
    """A program in its own process."""

    def __init__(self, python: str, name: str):
        self.name, self.said = name, []
        self._process = subprocess.Popen(
            [python, __file__, f"--worker={name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, paths) -> dict:
        self._process.stdin.write(json.dumps(list(map(str, paths))) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def write_photos(folder: pathlib.Path, out: pathlib.Path) -> dict[pathlib.Path, list]:
    """Returns for each photo the noses in it, y,x in pixels."""
    from tests.fixtures.photo_faces import NOSES

    sources = [path for path in sorted(folder.rglob("*")) if NOSES.get(path.name)]
    pictures = [cv2.imread(str(path)) for path in sources]
    rng, noses = np.random.default_rng(0), {}
    for i in range(PHOTOS):
        path, at = out / f"{i:04}.jpg", i % len(sources)
        shape = write_resized(path, pictures[at], longest=int(rng.integers(480, 1281)))
        noses[path] = np.multiply(NOSES[sources[at].name], shape).tolist()
    return noses


def count_found(noses, boxes) -> int:
    """Noses that are in a box; each box finds one."""
    found, rest = 0, list(boxes)
    for y, x in noses:
        match = [b for b in rest if b[0] < y < b[2] and b[1] < x < b[3]]
        if match:
            rest.remove(match[0])
            found += 1
    return found


def write_resized(path: pathlib.Path, photo: np.ndarray, *, longest: int) -> list[int]:
    scale = longest / max(photo.shape[:2])
    size = [round(side * scale) for side in photo.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cv2.imwrite(str(path), cv2.resize(photo, size, interpolation=how))
    return size[::-1]


def compare_thousand(workers, noses) -> None:
    paths, each = list(noses), len(noses) // TURNS
    for worker in workers:
        worker.ask(paths[:4])
    turns = {worker.name: [] for worker in workers}
    for turn in range(TURNS):
        for worker in workers:
            turns[worker.name].append(worker.ask(paths[turn * each : (turn + 1) * each]))
    known = sum(map(len, noses.values()))
    for name, said in turns.items():
        wall, cpu = (sum(turn[key] for turn in said) for key in ("wall", "cpu"))
        boxes = [box for turn in said for box in turn["boxes"]]
        by_path = {str(path): [box for p, box in boxes if p == str(path)] for path in paths}
        found = sum(count_found(noses[path], by_path[str(path)]) for path in paths)
        rates = sorted(round(each / turn["wall"], 1) for turn in said)
        print(
            f"{name}: {len(paths) / wall:.1f} photos/s (turns of {each}: {rates}), "
            f"{1000 * cpu / len(paths):.1f} ms of processor time a photo, {cpu / wall:.2f} "
            f"processors busy; {found} of {known} faces, {len(boxes) - found} boxes elsewhere"
        )


def compare_one(workers, path) -> None:
    best = {worker.name: {"wall": np.inf, "cpu": np.inf} for worker in workers}
    for _ in range(1 + REPEATED):
        for worker in workers:
            # One call for each: a photo alone.
            said = [worker.ask([path]) for _ in range(3)]
            for key, least in best[worker.name].items():
                best[worker.name][key] = min(least, *(answer[key] for answer in said))
    for name, least in best.items():
        cpu, wall = 1000 * least["cpu"], 1000 * least["wall"]
        print(f"{name}, one photo: {cpu:.1f} ms of processor time, {wall:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=pathlib.Path)
    parser.add_argument("--fer", help="Python that has fer.")
    parser.add_argument("--worker", choices=WORKERS)
    asked = parser.parse_args()
    if asked.worker:
        work(asked.worker)
        return
    import skimage.data  # which fer's Python need not have

    ours, old = (Worker(sys.executable, name) for name in list(WORKERS)[:2])
    others = [Worker(asked.fer, "fer")] if asked.fer else []
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        noses = write_photos(asked.photos, out)
        portrait = out / "one.jpg"
        write_resized(portrait, np.flip(skimage.data.astronaut(), axis=-1), longest=ONE)
        compare_one([ours, old, *others], portrait)
        compare_thousand([ours, *others], noses)
    for worker in (ours, old, *others):
        worker.end()


if __name__ == "__main__":
    main()
