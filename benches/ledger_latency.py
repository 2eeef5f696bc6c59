#!/usr/bin/env python3
"""Measures what the ledger's disk adds to the latency of a call, for nodes that take 0, 1 and 10 ms.

    benches/ledger_latency.py [SECONDS] [ROUNDS]

Two gateways that differ in one thing stand before the same node: the ledger of one lies on the disk of the working
folder, that of the other in memory (/dev/shm), where a sync costs nothing. Calls arrive at a third of the rate
at which the one on disk saturates; the two take turns. Prints a Markdown table. Needs two cores, Linux, and a
release build of `giaolien` and of the example `bench_node`, which it makes.
"""

import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from bench import ROOT, build, free_port, load, pinned, wait_for

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
METHODS = [("0 ms", "Query"), ("1 ms", "Query1"), ("10 ms", "Query10"), ("0 ms, update", "Update")]


def gateway(binary, node_binary, parent, processes):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="giaolien-bench-", dir=parent))
    gateway_port, node_port = free_port(), free_port()
    processes.append(pinned(1, node_binary, folder, gateway_port, node_port, stdout=subprocess.DEVNULL))
    wait_for(node_port)
    processes.append(pinned(0, binary, "run", "--config", folder / "config", stderr=subprocess.DEVNULL))
    wait_for(gateway_port)
    return folder, gateway_port


def main():
    build()
    binary = ROOT / "target/release/giaolien"
    node_binary = ROOT / "target/release/examples/bench_node"
    processes, folders = [], []
    try:
        places = {}
        for name, parent in (("disk", pathlib.Path.cwd()), ("memory", "/dev/shm")):
            folder, port = gateway(binary, node_binary, parent, processes)
            folders.append(folder)
            places[name] = (folder, port)
        folder, port = places["disk"]
        saturated = load(binary, folder, port, "Query", {}, seconds=SECONDS)["calls_per_second"]
        rate = int(saturated / 3)
        print(f"saturated at {saturated:,.0f} calls/s; {rate:,}/s arrive, {ROUNDS} rounds of {SECONDS} s\n")
        print("| the node takes | p50 ms, ledger in memory / on disk | added | p99 ms | added |\n|---|---|---|---|---|")
        for title, method in METHODS:
            found = {"disk": [], "memory": []}
            for _ in range(ROUNDS):
                for name, (folder, port) in places.items():
                    report = load(binary, folder, port, method, {}, rate=rate, seconds=SECONDS)
                    found[name].append((report["latency_us_p50"] / 1000, report["latency_us_p99"] / 1000))
            middle = {
                name: [statistics.median(run[which] for run in runs) for which in (0, 1)]
                for name, runs in found.items()
            }
            cells = [
                f"{middle['memory'][which]:.2f} / {middle['disk'][which]:.2f} "
                f"| {middle['disk'][which] - middle['memory'][which]:+.2f}"
                for which in (0, 1)
            ]
            print(f"| {title} | {cells[0]} | {cells[1]} |", flush=True)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
        for folder in folders:
            shutil.rmtree(folder)


main()
