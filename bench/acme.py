"""ACME orders: server CPU per order against Debian's pebble, interleaved in one run.

    make bench            (or: python -m bench.acme --rounds 5 --orders 600)

certctl stores durably (SQLite, synchronous=FULL), judges every request, records it, and signs from a
claimed job; pebble keeps everything in memory. Servers run on CPU 0, the load on CPU 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNLIMITED = "900000000/1h"


@dataclass(frozen=True)
class Running:
    """A server under load."""

    pid: int
    directory: str
    cafile: Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server does not listen")


@contextmanager
def started(command: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[int]:
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", "0", *command],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
    try:
        wait_for(port, process, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def certctl(folder: Path, algorithm: str, http01_port: int, *, always_valid: bool) -> Iterator[Running]:
    data, port = folder / "data", free_port()
    limits = ["orders_per_account", "orders_per_address", "accounts_per_address"]
    program = [sys.executable, "-m", "bench.always_valid" if always_valid else "servers.cli"]
    environment = {
        "CERTCTL_SERVER__HTTPS": f"127.0.0.1:{port}",
        "CERTCTL_SERVER__HTTP": f"127.0.0.1:{free_port()}",
        "CERTCTL_SERVER__EXTERNAL_URL": f"https://localhost:{port}",
        "CERTCTL_ACME__HTTP01_PORT": str(http01_port),
        **{f"CERTCTL_LIMITS__{name.upper()}": UNLIMITED for name in limits},
    }
    subprocess.run(
        [*program, "init", "--data", str(data), "--key-algorithm", algorithm],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    with started([*program, "serve", "--data", str(data)], port, folder, environment) as pid:
        yield Running(pid, f"https://localhost:{port}/acme/directory", data / "root.pem")


@contextmanager
def pebble(folder: Path, http01_port: int, *, always_valid: bool) -> Iterator[Running]:
    port = free_port()
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", "req", "-x509", *curve, *files, *subject], check=True, capture_output=True)
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{free_port()}",
        "certificate": str(folder / "cert.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http01_port,
        "tlsPort": 5001,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    if always_valid:
        environment["PEBBLE_VA_ALWAYS_VALID"] = "1"
    command = ["pebble", "-config", str(folder / "pebble.json")]
    with started(command, port, folder, environment) as pid:
        yield Running(pid, f"https://localhost:{port}/dir", folder / "cert.pem")


def load(server: Running, orders: int, http01_port: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.acme_load", "--directory", server.directory]
    command += ["--cafile", str(server.cafile), "--server-pid", str(server.pid), "--orders", str(orders)]
    command += ["--domain", "localhost" if http01_port else "load.test", "--http01-port", str(http01_port)]
    done = subprocess.run(
        ["taskset", "-c", "1", *command], cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=600
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", type=int, default=600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("pebble") is None:
        raise SystemExit("pebble is not here: apt-get install pebble")
    contenders = {
        "pebble, RSA-2048": lambda folder: pebble(folder, 5002, always_valid=True),
        "certctl, RSA-2048": lambda folder: certctl(folder, "rsa-2048", 5002, always_valid=True),
        "certctl, P-256": lambda folder: certctl(folder, "p256", 5002, always_valid=True),
    }
    results: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, start in contenders.items():
            with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as server:
                results[name].append(load(server, options.orders, 0))
                print(name, json.dumps(results[name][-1]), file=sys.stderr)
    medians = {
        name: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        for name, rounds in results.items()
    }
    ratios = {
        name: statistics.median(
            ours["server_cpu_ms"] / theirs["server_cpu_ms"]
            for ours, theirs in zip(rounds, results["pebble, RSA-2048"], strict=True)
        )
        for name, rounds in results.items()
    }
    if options.json:
        print(json.dumps({"median": medians, "cpu_ratio_to_pebble": ratios}, indent=1))
        return
    print(
        f"{'server':20s} {'CPU ms/order':>12s} {'ratio':>6s} {'orders/s':>9s} {'p50 ms':>7s} {'requests':>8s}"
    )
    for name, row in medians.items():
        print(
            f"{name:20s} {row['server_cpu_ms']:12.2f} {ratios[name]:6.2f} {row['orders_per_s']:9.1f}"
            f" {row['p50_ms']:7.1f} {row['requests_per_order']:8.2f}"
        )


if __name__ == "__main__":
    main()
