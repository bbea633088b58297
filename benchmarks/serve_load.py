"""10,000 good and bad requests from eight clients to `ran_tf.launch.serve`, on this machine.

    python benchmarks/serve_load.py --model_dir=EXPORT_DIR [--requests=10000] [--clients=8]

Prints how many were answered, answered wrongly and lost, their times, and the server's memory as
the requests went by; exit status 1 if an answer was wrong or missing or the memory grew.
"""

import argparse
import base64
import concurrent.futures
import http.client
import itertools
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse

import numpy as np
import tensorflow as tf

from ran_tf import export

# Share of the memory after the first fifth of the requests that may be added until the end.
_GROWTH = 0.1


def make_cases(model_dir: str, path: str) -> list[dict]:
    """Good requests with what the export says here, and bad ones with their status."""
    loaded = tf.saved_model.load(str(export.find_version(model_dir)))
    rng = np.random.default_rng(0)
    cases = []
    for size in (1, 32, 48, 96, 128, 224, 480, 1024):
        face = rng.integers(0, 256, (size, size, 3), np.uint8)
        for encode in (tf.io.encode_png, tf.io.encode_jpeg):
            cases.append(_good(loaded, path, [encode(face).numpy()]))
    faces = rng.integers(0, 256, (3, 64, 64, 3), np.uint8)
    pngs = [tf.io.encode_png(face).numpy() for face in faces]
    cases.append(_good(loaded, path, pngs))
    bad = [
        [b"no image"],
        [b""],
        [pngs[0][:-12]],
        [pngs[0], pngs[1][: len(pngs[1]) // 2]],
        [b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\x4e\x20" * 2 + bytes(20)],
    ]
    cases.extend({"path": path, "body": _body(images), "status": 400} for images in bad)
    cases.extend({"path": path, "body": body, "status": 400} for body in (b"{", b"[]", b"{}"))
    elsewhere = path.replace(":predict", "/versions/999:predict")
    cases.append({"path": elsewhere, "body": cases[0]["body"], "status": 404})
    return cases


def _body(images: list[bytes]) -> bytes:
    rows = [{"b64": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"instances": rows}).encode()


def _good(loaded, path: str, images: list[bytes]) -> dict:
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
    return {
        "path": path,
        "body": _body(images),
        "status": 200,
        "probabilities": answer["probabilities"].numpy(),
    }


def is_right(case: dict, status: int, body: bytes) -> bool:
    if status != case["status"]:
        return False
    answer = json.loads(body)
    if status != 200:
        return bool(answer["error"])
    got = [row["probabilities"] for row in answer["predictions"]]
    return bool(np.allclose(got, case["probabilities"], atol=1e-4))


def resident_mib(process: int) -> float:
    with open(f"/proc/{process}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


def run_client(host: str, cases: list[dict], numbers, count: int, results: list, seed: int) -> None:
    """Asks one request after the other over one connection, until all are given out."""
    rng = np.random.default_rng(seed)
    connection = http.client.HTTPConnection(host, timeout=120)
    for _ in itertools.takewhile(lambda number: number < count, numbers):
        case = cases[rng.integers(len(cases))]
        began = time.perf_counter()
        try:
            connection.request("POST", case["path"], case["body"])
            response = connection.getresponse()
            right = is_right(case, response.status, response.read())
            lost = False
        except (OSError, http.client.HTTPException):
            connection.close()
            right, lost = False, True
        seconds = time.perf_counter() - began
        results.append({"status": case["status"], "right": right, "lost": lost, "s": seconds})


class Counter:
    """Numbers for all clients, each given once."""

    def __init__(self):
        self._numbers, self._lock = itertools.count(), threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            return next(self._numbers)


def measure(arguments, *, process: int, url: str) -> dict:
    parts = urllib.parse.urlsplit(url)
    cases = make_cases(arguments.model_dir, f"{parts.path}:predict")
    results, memory, numbers = [], [], Counter()
    with concurrent.futures.ThreadPoolExecutor(arguments.clients) as pool:
        clients = [
            pool.submit(run_client, parts.netloc, cases, numbers, arguments.requests, results, seed)
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
        "requests": len(results),
        "lost": sum(result["lost"] for result in results),
        "wrong": sum(not result["right"] for result in results),
        "seconds": round(seconds, 1),
        "memory_mib": memory,
    }
    for name, status in (("good", 200), ("bad_400", 400), ("bad_404", 404)):
        times = [1e3 * result["s"] for result in results if result["status"] == status]
        summary[name] = {
            "count": len(times),
            "ms_p50": round(float(np.quantile(times, 0.5)), 1),
            "ms_p99": round(float(np.quantile(times, 0.99)), 1),
        }
    return summary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "ran_tf.launch.serve", f"--model_dir={arguments.model_dir}"]
    with subprocess.Popen(
        [*command, "--rest_port=0", "--grpc_port=-1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders say a line about each bad image
        text=True,
    ) as server:
        try:
            url = next(line for line in server.stdout if line.startswith("REST: "))
            summary = measure(arguments, process=server.pid, url=url.removeprefix("REST: ").strip())
        finally:
            server.terminate()
    print(json.dumps(summary, indent=1))
    memory = summary["memory_mib"]
    flat = memory[-1] <= (1 + _GROWTH) * memory[len(memory) // 5]
    return int(summary["lost"] + summary["wrong"] > 0 or not flat)


if __name__ == "__main__":
    sys.exit(main())
