#!/usr/bin/env python3
"""Measures what the gateway costs: calls per second, CPU per call, latency added, ledger bytes per call.

    benches/gateway.py [SECONDS]

Builds in release, starts a node that does as little as a node can, and calls it directly and through the
gateway, TLS with client certificates on every leg and the ledger on, all in one run. Needs two cores: the gateway has
one for itself, load and node share the other; called directly, the node has the gateway's core.
Prints a Markdown table.
"""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from bench import ROOT, build, free_port, load, pinned, wait_for

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
SECTOR = 512


def cpu(report, label):
    used = [process for process in report["processes"] if process["label"] == label]
    return f"{used[0]['cpu_us_per_call']:.1f}" if used and used[0].get("cpu_us_per_call") else ""


def memory(report, label):
    used = [process for process in report["processes"] if process["label"] == label]
    return used[0]["memory_bytes_peak"] / (1 << 20)


def used_bytes(ledger):
    """Bytes of the ledger's frames and headers, without what is prepared and still zero."""
    used = 0
    for segment in sorted(ledger.glob("segment-*.log")):
        data = segment.read_bytes().rstrip(b"\0")
        used += -(-len(data) // SECTOR) * SECTOR
    return used


def main():
    build()
    binary = ROOT / "target/release/giaolien"
    node_binary = ROOT / "target/release/examples/bench_node"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="giaolien-bench-"))
    gateway_port, node_port = free_port(), free_port()
    processes = []
    try:
        node = pinned(0, node_binary, folder, gateway_port, node_port, stdout=subprocess.DEVNULL)
        processes.append(node)
        wait_for(node_port)
        direct = load(binary, folder, node_port, "Query", {"node": node}, seconds=SECONDS)
        subprocess.run(["taskset", "-c", "-p", "1", str(node.pid)], check=True, stdout=subprocess.DEVNULL)
        gateway = pinned(0, binary, "run", "--config", folder / "config", stderr=subprocess.DEVNULL)
        processes.append(gateway)
        wait_for(gateway_port)
        watch = {"node": node, "gateway": gateway}
        before = used_bytes(folder / "ledger")
        query = load(binary, folder, gateway_port, "Query", watch, seconds=SECONDS)
        update = load(binary, folder, gateway_port, "Update", watch, seconds=SECONDS)
        third = int(query["calls_per_second"] / 3)
        rows = [
            ("direct, closed loop", direct),
            ("gateway, query, closed loop", query),
            ("gateway, update, closed loop", update),
        ]
        for rate in (third, 1000):
            rows.append((f"direct, {rate}/s", load(binary, folder, node_port, "Query", watch, rate, seconds=SECONDS)))
            rows.append((f"gateway, query, {rate}/s", load(binary, folder, gateway_port, "Query", watch, rate, seconds=SECONDS)))
            rows.append((f"gateway, update, {rate}/s", load(binary, folder, gateway_port, "Update", watch, rate, seconds=SECONDS)))
        peak = memory(rows[-1][1], "gateway")
        gateway.terminate()
        gateway.wait(60)
        grown = used_bytes(folder / "ledger") - before
        verified = subprocess.run([binary, "audit", "verify", folder / "ledger"], capture_output=True, text=True)
        entries = int(verified.stdout.split()[1])
        calls = (entries - 1) / 2  # one entry for the opening, two for each call
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        model = direct.get("machine_cpu_model") or platform.processor()
        print(f"\n{model}, {os.cpu_count()} cores, commit {commit.stdout.strip()}; ", end="")
        print(f"100-byte messages, 4 connections x 16 streams, {SECONDS} s each\n")
        print("| what | calls/s | gateway CPU µs/call | node CPU µs/call | p50 ms | p99 ms |\n|---|---|---|---|---|---|")
        for name, report in rows:
            print(
                f"| {name} | {report['calls_per_second']:,.0f} | {cpu(report, 'gateway')} | {cpu(report, 'node')} "
                f"| {report['latency_us_p50'] / 1000:.2f} | {report['latency_us_p99'] / 1000:.2f} |"
            )
        print(f"\nLedger: {grown / calls:,.0f} bytes per call over all runs. "
              f"Peak memory of the gateway: {peak:.0f} MiB. Verified: {verified.stdout.splitlines()[0]}")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
        shutil.rmtree(folder)


main()
