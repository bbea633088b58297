"""10,000 good and bad requests from 16 clients to `ran_tf.launch.serve`, on this machine.

    python experiments/serve_load.py --model_dir=EXPORT_DIR [--protocol=rest|grpc]
        [--requests=10000] [--clients=16]

Over REST one in ten has whole photos. Prints how many were answered, answered wrongly and lost,
their times, and the server's memory as the requests went by; exit status 1 if an answer was wrong
or missing or the memory grew.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import re
import sys
import threading
import time

import numpy as np
import serve_clients
import skimage.data
import tensorflow as tf

import ran_tf
from ran_tf.exports import export

# Share of the memory after the first fifth of the requests that may be added until the end.
_GROWTH = 0.1


def make_cases(model_dir: str) -> list[dict]:
    """Requests, see `serve_clients`; good ones with what the export says here, f32[b, n]."""
    loaded = tf.saved_model.load(str(export.find_version(model_dir)))
    rng = np.random.default_rng(0)
    good = []
    for size in (1, 32, 48, 96, 128, 224, 480, 1024):
        face = rng.integers(0, 256, (size, size, 3), np.uint8)
        good += [[tf.io.encode_png(face).numpy()], [tf.io.encode_jpeg(face).numpy()]]
    faces = rng.integers(0, 256, (3, 64, 64, 3), np.uint8)
    pngs = [tf.io.encode_png(face).numpy() for face in faces]
    good.append(pngs)
    bad = [
        [b"no image"],
        [b""],
        [pngs[0][:-12]],
        [pngs[0], pngs[1][: len(pngs[1]) // 2]],
        [b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\x4e\x20" * 2 + bytes(20)],
    ]

    def answer(images):
        said = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
        return said["probabilities"].numpy()

    return [
        *({"images": i, "expect": "ok", "probabilities": answer(i)} for i in good),
        *({"images": i, "expect": "bad"} for i in bad),
        *({"malformed": i, "expect": "bad"} for i in range(3)),
        {"images": pngs, "expect": "missing"},
    ]


def make_photo_cases(model_dir: str) -> list[dict]:
    """Requests of whole photos; "faces": for each what the package says here, None if it is bad."""
    predictor = ran_tf.Predictor(export.find_version(model_dir))
    picture = skimage.data.astronaut()
    pixels = [picture[:256, 128:384], picture[:200, 150:350], np.full((200, 200, 3), 90, np.uint8)]
    photos = [tf.io.encode_png(photo).numpy() for photo in pixels]
    faces = [
        [np.concatenate([face.prediction.probabilities, face.box]) for face in found]
        for found in predictor.faces(photos)
    ]
    rows = [
        {"photos": [photos[0]], "faces": [faces[0]], "expect": "ok"},
        {"photos": [b"no image", *photos[1:]], "faces": [None, *faces[1:]], "expect": "ok"},
        {"photos": [photos[0][: len(photos[0]) // 2], b""], "expect": "bad"},
    ]
    return [{"kind": "photos", **row} for row in rows]


def is_right(case: dict, answer: dict) -> bool:
    if answer["kind"] != case["expect"]:
        return False
    if "photos" in answer:
        return len(answer["photos"]) == len(case["faces"]) and all(
            map(are_the_faces, answer["photos"], case["faces"])
        )
    if answer["kind"] != "ok":
        return bool(answer["message"])
    return bool(np.allclose(answer["probabilities"], case["probabilities"], atol=1e-4))


def are_the_faces(said: dict, expected: list | None) -> bool:
    if expected is None or "error" in said:
        return expected is None and bool(said.get("error"))
    found = [[*face["probabilities"].values(), *face["box"]] for face in said["faces"]]
    # Boxes are rounded to a tenth of a pixel.
    return np.shape(found) == np.shape(expected) and np.allclose(found, expected, atol=0.06)


def resident_mib(process: int) -> float:
    with open(f"/proc/{process}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


def run_client(client, cases: list[dict], *, numbers, count: int, results: list, seed: int) -> None:
    """Asks one request after the other until all are given out."""
    rng = np.random.default_rng(seed)
    requests = [client.prepare(case) for case in cases]
    for _ in itertools.takewhile(lambda number: number < count, numbers):
        drawn = rng.integers(len(cases))
        began = time.perf_counter()
        try:
            answer = client.ask(requests[drawn])
            lost = False
        except serve_clients.Lost:
            answer, lost = None, True
        seconds = time.perf_counter() - began
        case = cases[drawn]
        right = not lost and is_right(case, answer)
        kind = case.get("kind", case["expect"])
        results.append({"kind": kind, "right": right, "lost": lost, "s": seconds})


class Counter:
    """Numbers for all clients, each given once."""

    def __init__(self):
        self._numbers, self._lock = itertools.count(), threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            return next(self._numbers)


def measure(arguments, *, process: int, address: str) -> dict:
    cases = make_cases(arguments.model_dir)
    if arguments.protocol == "rest":
        cases += make_photo_cases(arguments.model_dir)
    connect = serve_clients.CLIENTS[arguments.protocol]
    results, memory, numbers = [], [], Counter()
    with concurrent.futures.ThreadPoolExecutor(arguments.clients) as pool:
        clients = [
            pool.submit(
                run_client,
                connect(address),
                cases,
                numbers=numbers,
                count=arguments.requests,
                results=results,
                seed=seed,
            )
            for seed in range(arguments.clients)
        ]
        began = time.perf_counter()
        while not all(client.done() for client in clients):
            done = len(results)
            if done >= len(memory) * arguments.requests / 20:
                memory.append(round(resident_mib(process)))
                print(f"{done:6} requests, server {memory[-1]} MiB", flush=True)
            time.sleep(0.05)
        for client in clients:
            client.result()
        seconds = time.perf_counter() - began
    memory.append(round(resident_mib(process)))
    summary = {
        "protocol": arguments.protocol,
        "requests": len(results),
        "lost": sum(result["lost"] for result in results),
        "wrong": sum(not result["right"] for result in results),
        "seconds": round(seconds, 1),
        # Above the number of cores, others were at work on them.
        "load_average": round(os.getloadavg()[0], 1),
        "memory_mib": memory,
    }
    return summary | summarise_times(results)


def summarise_times(results: list[dict]) -> dict[str, dict]:
    """Count and times of each kind of request; of few requests some kinds have none."""
    kinds = {}
    for kind in ("ok", "bad", "missing", "photos"):
        times = [1e3 * result["s"] for result in results if result["kind"] == kind]
        if times:
            kinds[kind] = {
                "count": len(times),
                "ms_p50": round(float(np.quantile(times, 0.5)), 1),
                "ms_p99": round(float(np.quantile(times, 0.99)), 1),
            }
    return kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--protocol", choices=serve_clients.CLIENTS, default="rest")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    with serve_clients.serve(arguments.model_dir, protocol=arguments.protocol) as server:
        summary = measure(arguments, **server)
    print(json.dumps(summary, indent=1))
    memory = summary["memory_mib"]
    flat = memory[-1] <= (1 + _GROWTH) * memory[len(memory) // 5]
    return int(summary["lost"] + summary["wrong"] > 0 or not flat)


if __name__ == "__main__":
    sys.exit(main())
