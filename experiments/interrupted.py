"""A long run that is killed at random moments, watched, and compared with one never killed.

    python experiments/interrupted.py --out=DIR --mean_life=600 -- \\
        --dataset=synthetic_faces --data_dir=DATA --epochs=20 --deterministic ...

What follows `--` goes to ran_tf.launch.train. Two runs go side by side: one to its end, the other
under SIGKILL and, every third time, SIGTERM, each followed by the same command. Both are watched:
resident memory and open files of the process, every two seconds. Writes interrupted.json (every
figure) after each life and prints a summary: the largest difference of the two curves in
metrics.csv, and how memory and open files moved from the second fifth of a process' life to its
last. SIGINT ends both; the summary is then of the epochs that both have.
"""

import argparse
import csv
import json
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

_WATCH_SECONDS = 2.0


def start(flags: list[str], workdir: pathlib.Path, log: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "ran_tf.launch.train", *flags, f"--workdir={workdir}"]
    with log.open("a") as out:
        # A group of its own: Ctrl-C is ours, not its.
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, process_group=0)


def look(pid: int) -> tuple[float, int]:
    """Resident memory, MB, and number of open files."""
    process = pathlib.Path("/proc") / str(pid)
    pages = int((process / "statm").read_text().split()[1])
    return pages * 4096 / 1e6, len(list((process / "fd").iterdir()))


def watch(process: subprocess.Popen, life: dict, *, end: tuple[int, float] | None) -> dict:
    """Fills `life` until a process ends; sends it signal `end[0]` after `end[1]` seconds."""
    began = time.monotonic()
    life |= {"signal": None, "seconds": 0.0, "code": None, "samples": []}
    while process.poll() is None:
        life["seconds"] = time.monotonic() - began
        if end and life["seconds"] >= end[1]:
            life["signal"] = signal.Signals(end[0]).name
            process.send_signal(end[0])
            process.wait()
            break
        try:
            memory, opened = look(process.pid)
        except (FileNotFoundError, ProcessLookupError):
            break
        life["samples"].append([round(life["seconds"], 1), round(memory, 1), opened])
        # Not beyond the moment of the signal.
        left = max(0.0, end[1] - life["seconds"]) if end else _WATCH_SECONDS
        time.sleep(min(_WATCH_SECONDS, left))
    life |= {"seconds": time.monotonic() - began, "code": process.wait()}
    return life


def read_curve(workdir: pathlib.Path) -> list[dict]:
    path = workdir / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    for row in rows:
        row.pop("faces_per_second")  # of the clock
    return rows


def compare(whole: list[dict], killed: list[dict]) -> dict:
    """Whether two curves are equal to the last digit, and the largest difference of each column."""
    both = list(zip(whole, killed, strict=False))
    assert all(a["epoch"] == b["epoch"] for a, b in both)
    names = list(both[0][0]) if both else []
    largest = {n: max(abs(float(a[n]) - float(b[n])) for a, b in both) for n in names}
    return {
        "epochs": len(both),
        "identical": all(a == b for a, b in both),
        "largest_difference": largest,
    }


def drift(samples: list[list[float]]) -> dict | None:
    """Medians of memory and open files in the second and in the last fifth of a process' life."""
    fifth = len(samples) // 5
    if fifth < 3:
        return None
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    return {
        name: [statistics.median(s[column] for s in part) for part in (early, late)]
        for column, name in ((1, "memory_mb"), (2, "open_files"))
    }


def summarise(out: pathlib.Path, *, flags: list[str], whole: dict, lives: list[dict]) -> dict:
    """What is known so far; written to interrupted.json too."""
    result = {
        "flags": flags,
        "curve": compare(read_curve(out / "whole"), read_curve(out / "killed")),
        "drift_of_the_whole_run": drift(whole["samples"]),
        "drift_of_the_lives": [drift(life["samples"]) for life in lives],
        "seconds_under_kills": sum(life["seconds"] for life in lives),
        "whole": whole,
        "killed": lives,
    }
    (out / "interrupted.json").write_text(json.dumps(result, indent=1))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--mean_life", type=float, default=600.0, help="seconds until a kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*", help="of ran_tf.launch.train, after --")
    arguments = parser.parse_args()
    # Started in the background, a process ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    draw = random.Random(arguments.seed)
    processes = [start(arguments.flags, out / "whole", out / "whole.log")]
    whole, lives = {}, []
    watcher = threading.Thread(target=watch, args=(processes[0], whole), kwargs={"end": None})
    watcher.start()
    try:
        while not lives or lives[-1]["code"] != 0:
            number = signal.SIGTERM if len(lives) % 3 == 2 else signal.SIGKILL
            end = (number, draw.uniform(0.1, 1.9) * arguments.mean_life)
            processes.append(start(arguments.flags, out / "killed", out / "killed.log"))
            lives.append({})
            life = watch(processes[-1], lives[-1], end=end)
            how = life["signal"] or "its own end"
            print(f"{how}: code {life['code']} after {life['seconds']:.0f} s", flush=True)
            if life["code"] not in (0, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
                sys.exit(f"a start failed: {out / 'killed.log'}")
            summarise(out, flags=arguments.flags, whole=whole, lives=lives)
        watcher.join()
    except KeyboardInterrupt:
        print("stopped: what follows is of the epochs that both have")
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        watcher.join()
    result = summarise(out, flags=arguments.flags, whole=whole, lives=lives)
    for name in (
        "curve",
        "seconds_under_kills",
        "drift_of_the_whole_run",
        "drift_of_the_lives",
    ):
        print(name, json.dumps(result[name]))


if __name__ == "__main__":
    main()
