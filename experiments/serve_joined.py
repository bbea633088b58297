"""What joining requests brings: `ran_tf.launch.serve` with and without it, in turns.

    python experiments/serve_joined.py --model_dir=EXPORT_DIR [--protocol=rest|grpc]
        [--requests=320] [--clients=16] [--turns=4] [--joined 1 8]

A request is one face, a JPEG of 96 px. Each client asks one request after the other. Prints for
each `--max_joined` of every turn the requests per second, the times of a request, and the
processor time of the server per request.
"""

import argparse
import concurrent.futures
import contextlib
import os
import time

import numpy as np
import serve_clients
import tensorflow as tf


def processor_seconds(process: int) -> float:
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    # In the kernel's ticks: of the program, and of the kernel for it.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(server: dict, case: dict, *, protocol: str, clients: int, requests: int) -> dict:
    def ask(count: int) -> list[float]:
        client = serve_clients.CLIENTS[protocol](server["address"])
        request = client.prepare(case)
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            answer = client.ask(request)
            seconds.append(time.perf_counter() - began)
            assert answer["kind"] == "ok", answer
        return seconds

    began, used = time.perf_counter(), processor_seconds(server["process"])
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        seconds = np.concatenate(list(pool.map(ask, [requests // clients] * clients)))
    return {
        "requests/s": len(seconds) / (time.perf_counter() - began),
        "p50 ms": 1e3 * np.quantile(seconds, 0.5),
        "p99 ms": 1e3 * np.quantile(seconds, 0.99),
        "processor ms": 1e3 * (processor_seconds(server["process"]) - used) / len(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--protocol", choices=serve_clients.CLIENTS, default="rest")
    parser.add_argument("--requests", type=int, default=320)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--joined", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    load = {"protocol": arguments.protocol, "clients": arguments.clients}
    face = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    case = {"images": [tf.io.encode_jpeg(face).numpy()], "expect": "ok"}
    with contextlib.ExitStack() as stack:
        servers = {
            joined: stack.enter_context(
                serve_clients.serve(
                    arguments.model_dir,
                    "--nophotos",
                    f"--max_joined={joined}",
                    protocol=arguments.protocol,
                )
            )
            for joined in arguments.joined
        }
        for server in servers.values():  # the first calls of each size are slow
            measure(server, case, requests=10 * arguments.clients, **load)
        for turn in range(arguments.turns):
            for joined, server in servers.items():
                figures = measure(server, case, requests=arguments.requests, **load)
                said = "  ".join(f"{name} {value:7.1f}" for name, value in figures.items())
                print(f"turn {turn}  max_joined {joined:3}  {said}", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
