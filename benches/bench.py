"""What the benchmarks of a gateway share: the build, ports, pinned processes, and the load client."""

import base64
import json
import pathlib
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MESSAGE = base64.b64encode(bytes([10, 98]) + bytes(98)).decode()  # field 1, 98 zero bytes


def build():
    subprocess.run(
        ["cargo", "build", "--release", "-p", "giaolien", "--bin", "giaolien"], cwd=ROOT, check=True
    )
    subprocess.run(
        ["cargo", "build", "--release", "-p", "testkit", "--example", "bench_node"], cwd=ROOT, check=True
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core, *command, **options):
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], **options)


def wait_for(port):
    for _ in range(500):
        with socket.socket() as probe:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


def load(binary, folder, port, method, watch, rate=None, seconds=10):
    command = [
        "taskset", "-c", "1", binary, "load", f"127.0.0.1:{port}", f"/bench.v1.Bench/{method}",
        "--ca", folder / "pki/ca.crt", "--cert", folder / "pki/client.crt", "--key", folder / "pki/client.key",
        "--server-name", "localhost", "--message", MESSAGE, "--connections", "4", "--streams", "16",
        "--duration", f"{seconds}s", "--warm-up", "2s", "--format", "json",
    ]
    for label, process in watch.items():
        command += ["--watch", f"{label}={process.pid}"]
    if rate:
        command += ["--rate", str(rate)]
    report = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout)
    failed = report["calls"] - report["calls_ok"]
    if failed:
        raise SystemExit(f"{failed} of {report['calls']} calls failed: {report['statuses']} {report['failures']}")
    return report
