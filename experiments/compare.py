"""Our training step beside PyTorch's, in turns, so that a machine that slows down slows all.

    python experiments/compare.py --out=compare.json

Each variant is a process of its own, which waits while the others work.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
VARIANTS = {
    "ours_bfloat16": ("our_step.py", "--bfloat16"),
    "ours_float32": ("our_step.py",),
    "torch_loop_float32": ("torch_step.py",),
    "torch_folded_float32": ("torch_step.py", "--folded"),
    "torch_folded_bfloat16": ("torch_step.py", "--folded", "--bfloat16"),
    "torch_compiled_bfloat16": ("torch_step.py", "--folded", "--bfloat16", "--compile"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--regions", type=int, default=6)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[*VARIANTS][:-1])
    parser.add_argument("--authors_file", type=pathlib.Path, help="see README.md")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file")
    arguments = parser.parse_args()

    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("batch", "regions", "size")]
    commands = {name: VARIANTS[name] for name in arguments.variants}
    if arguments.authors_file:
        commands["authors_float32"] = ("torch_step.py", f"--authors_file={arguments.authors_file}")
    workers = {name: _start(command, sizes) for name, command in commands.items()}
    seconds = {name: [] for name in workers}
    try:
        for turn in range(arguments.warmup + arguments.rounds):
            for name, worker in workers.items():
                taken = _one_step(name, worker)
                if turn >= arguments.warmup:
                    seconds[name].append(taken)
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
    rows = _rows(seconds, faces=arguments.batch)
    for name, row in rows.items():
        print(f"{name:26} {row['faces_per_s']:8.2f} faces/s   ours is {row['ours_over']}")
    if arguments.out:
        result = {"arguments": {name: str(v) for name, v in vars(arguments).items()}, "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def _start(command: tuple[str, ...], sizes: list[str]) -> subprocess.Popen:
    script, *more = command
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, HERE / script, *more, *sizes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Threads that wait by spinning would take the processor from the one whose turn it is.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_WAIT_POLICY": "PASSIVE"},
    )


def _one_step(name: str, worker: subprocess.Popen) -> float:
    worker.stdin.write("step\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise RuntimeError(f"{name} ended with status {worker.wait()}; its error is above")


def _rows(seconds: dict[str, list[float]], *, faces: int) -> dict[str, dict]:
    """Medians, and ratios round by round: what slows a round down slows both of its halves."""
    ours = {name: times for name, times in seconds.items() if name.startswith("ours")}
    rows = {}
    for name, times in seconds.items():
        ratios = {
            our: statistics.median(t / o for t, o in zip(times, our_times, strict=True))
            for our, our_times in ours.items()
            if our != name
        }
        rows[name] = {
            "seconds": times,
            "ms": 1e3 * statistics.median(times),
            "faces_per_s": faces / statistics.median(times),
            "ours_over": ", ".join(f"{ratio:.2f}x ({our})" for our, ratio in ratios.items()),
        }
    return rows


if __name__ == "__main__":
    main()
