"""A long run that is killed at random moments, watched, and compared with one never killed.

    python benchmarks/interrupted.py --out=DIR --kills=6 -- \\
        --dataset=synthetic_faces --data_dir=DATA --epochs=20 --deterministic ...

What follows `--` goes to ran_tf.launch.train. First the whole run, then the same run under
kills: SIGKILL, SIGTERM and, at the end, nothing. Both are watched: resident memory and open files
of the process, every two seconds. Writes interrupted.json (every figure) and prints a summary:
the largest difference of the two curves in metrics.csv, and how memory and open files moved from
the second fifth of a process' life to its last. Run again, it goes on after the whole run.
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
import time

_WATCH_SECONDS = 2.0


def start(flags: list[str], workdir: pathlib.Path, log: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "ran_tf.launch.train", *flags, f"--workdir={workdir}"]
    with log.open("a") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)


def look(pid: int) -> tuple[float, int]:
    """Resident memory, MB, and number of open files."""
    process = pathlib.Path("/proc") / str(pid)
    pages = int((process / "statm").read_text().split()[1])
    return pages * 4096 / 1e6, len(list((process / "fd").iterdir()))


def watch(process: subprocess.Popen, *, end: tuple[int, float] | None) -> dict:
    """Looks at a process until it ends; sends it signal `end[0]` after `end[1]` seconds."""
    began, samples, sent = time.monotonic(), [], None
    while process.poll() is None:
        seconds = time.monotonic() - began
        if end and seconds >= end[1]:
            sent = signal.Signals(end[0]).name
            process.send_signal(end[0])
            process.wait()
            break
        try:
            memory, opened = look(process.pid)
        except (FileNotFoundError, ProcessLookupError):
            break
        samples.append([round(seconds, 1), round(memory, 1), opened])
        # Not beyond the moment of the signal.
        time.sleep(min(_WATCH_SECONDS, max(0.0, end[1] - seconds)) if end else _WATCH_SECONDS)
    return {
        "signal": sent,  # None: it had come to its end before
        "seconds": time.monotonic() - began,
        "code": process.wait(),
        "samples": samples,
    }


def read_curve(workdir: pathlib.Path) -> list[dict]:
    with (workdir / "metrics.csv").open(newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    for row in rows:
        row.pop("faces_per_second")  # of the clock
    return rows


def compare(whole: list[dict], killed: list[dict]) -> dict:
    """Whether two curves are equal to the last digit, and the largest difference of each column."""
    assert [row["epoch"] for row in whole] == [row["epoch"] for row in killed]
    largest = {
        name: max(abs(float(a[name]) - float(b[name])) for a, b in zip(whole, killed, strict=True))
        for name in whole[0]
    }
    return {"epochs": len(whole), "identical": whole == killed, "largest_difference": largest}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*", help="of ran_tf.launch.train, after --")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    log, draw = arguments.out / "log", random.Random(arguments.seed)
    noted = arguments.out / "whole.json"
    if not noted.exists():
        life = watch(start(arguments.flags, arguments.out / "whole", log), end=None)
        if life["code"] != 0:
            sys.exit(f"the whole run failed: {log}")
        noted.write_text(json.dumps(life))
    whole = json.loads(noted.read_text())
    lives = []
    for i in range(arguments.kills + 1):
        end = None
        if i < arguments.kills:
            # Starts included, the kills fit into the time that the run needs anyway.
            number = signal.SIGTERM if i % 3 == 2 else signal.SIGKILL
            end = (number, draw.uniform(0.3, 1.7) * whole["seconds"] / (arguments.kills + 1))
        life = watch(start(arguments.flags, arguments.out / "killed", log), end=end)
        lives.append(life)
        print(
            f"{life['signal'] or 'its own end'}: code {life['code']} after {life['seconds']:.0f} s"
        )
        if life["code"] not in (0, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
            sys.exit(f"a start failed: {log}")
    result = {
        "flags": arguments.flags,
        "curve": compare(read_curve(arguments.out / "whole"), read_curve(arguments.out / "killed")),
        "drift_of_the_whole_run": drift(whole["samples"]),
        "drift_of_the_last_start": drift(lives[-1]["samples"]),
        "whole": whole,
        "killed": lives,
    }
    (arguments.out / "interrupted.json").write_text(json.dumps(result, indent=1))
    for name in ("curve", "drift_of_the_whole_run", "drift_of_the_last_start"):
        print(name, json.dumps(result[name]))


if __name__ == "__main__":
    main()
