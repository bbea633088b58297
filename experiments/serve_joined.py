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
import subprocess
import sys
import time

import numpy as np
import serve_clients
import tensorflow as tf


@contextlib.contextmanager
def serve(model_dir: str, *, protocol: str, max_joined: int):
    """Yields {"process": id, "address"} of a server."""
    command = [
        *(sys.executable, "-m", "ran_tf.launch.serve", f"--model_dir={model_dir}", "--nophotos"),
        *("--rest_port=0", f"--grpc_port={0 if protocol == 'grpc' else -1}"),
        f"--max_joined={max_joined}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            addresses = {}
            for line in server.stdout:
                name, _, address = line.strip().partition(": ")
                addresses[name.lower()] = address
                if name == "REST":  # the last
                    break
            yield {"process": server.pid, "address": addresses[protocol]}
        finally:
            server.terminate()


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
                serve(arguments.model_dir, protocol=arguments.protocol, max_joined=joined)
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
