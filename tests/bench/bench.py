"""Measures cells of I/O on the raw disk, on alignfs and on other FUSE passthrough filesystems, in
interleaved rounds, and writes the ratios to the raw disk as JSON, Markdown and SVG.

Called by run.sh and compare.sh; `bench.py --help` has the options. Needs root, fio and a machine that
does nothing else. Figures of one run are comparable with each other alone.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import cells
import chart
import places


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--alignfs", action="append", default=[], metavar="[NAME=]BINARY",
                        help="a daemon to measure; may be given more than once")
    parser.add_argument("--passthrough-hp", metavar="BINARY", help="libfuse's example, a peer")
    parser.add_argument("--no-peers", action="store_true", help="measure raw disk and alignfs alone")
    parser.add_argument("--disk", default="loop", metavar="loop|DIRECTORY",
                        help="loop: ext4 with 4096-byte sectors in memory (the default); or a "
                             "directory on the disk to measure")
    parser.add_argument("--cells", default="", help="names, separated by commas; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--order", type=int, default=random.randrange(1 << 32), metavar="NUMBER",
                        help="repeats the order of a run; results.json has it")
    parser.add_argument("--seconds", type=int, default=2, help="of each fio job")
    parser.add_argument("--output", default="build/bench", metavar="DIRECTORY")
    return parser.parse_args()


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def measure(options, disk, chosen):
    """Per cell and place the rounds, each {"rate": ..., "cpu": seconds a request or None}."""
    measured_in = {cell.name: places.of_cell(options, cell) for cell in chosen}
    results = {cell: {place.name: [] for place in found} for cell, found in measured_in.items()}
    steps = sum(len(results[cell.name]) * -(-options.rounds // cell.every) for cell in chosen)
    done, begun = 0, time.monotonic()
    chance = random.Random(options.order)
    for number in range(options.rounds):
        for cell in chosen:
            if number % cell.every != 0:
                continue
            # Who comes after a slow one finds a rested disk, and after a writer a busy one: that is
            # left to chance, and nobody pays for what others left to be written.
            found = measured_in[cell.name]
            for place in chance.sample(found, len(found)):
                done += 1
                os.sync()
                try:
                    with place.mounted(disk) as (directory, daemon):
                        outcome = cell.run(directory, daemon, options.seconds)
                except cells.Refused as reason:
                    if not place.peer:
                        raise
                    say(f"{place.name} cannot do {reason}")
                    continue
                results[cell.name][place.name].append(outcome)
                left = (time.monotonic() - begun) / done * (steps - done)
                say(f"round {number + 1}/{options.rounds} {cell.name:18} {place.name:14} "
                    f"{outcome['rate']:12.1f} {cell.unit}   about {left / 60:.0f} min left")
    return {cell: {name: rounds for name, rounds in by_place.items() if rounds}
            for cell, by_place in results.items()}


def summary(results):
    """{cell: {place: {"ratio", "low", "high", "cpu"}}}: medians over rounds; ratio to raw in the
    same round, or to the first place where a cell has no raw disk to compare with."""
    table = {}
    for cell, by_place in results.items():
        base = by_place.get("raw") or next(iter(by_place.values()))
        table[cell] = {}
        for place, rounds in by_place.items():
            ratios = [mine["rate"] / other["rate"] for mine, other in zip(rounds, base)]
            cpu = [mine["cpu"] for mine in rounds if mine["cpu"] is not None]
            table[cell][place] = {
                "ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
                "cpu": statistics.median(cpu) * 1e6 if cpu else None}
    return table


def markdown(table, others):
    """A table for each run of cells that were measured in the same places, `others` left out of
    account: not every peer can do everything."""
    def ours(item):
        return [name for name in item[1] if name not in others]

    tables = []
    for _, group in itertools.groupby(table.items(), ours):
        rows = dict(group)
        names = []
        for row in rows.values():
            names += [name for name in row if name not in names]
        lines = ["| cell | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for cell, row in rows.items():
            lines.append(f"| {cell} | " + " | ".join(text_of(row.get(name)) for name in names)
                         + " |")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def text_of(entry):
    if entry is None:
        return ""
    cpu = "" if entry["cpu"] is None else f" ({entry['cpu']:.0f})"
    return f"{entry['ratio']:.2f}{cpu}"


@contextlib.contextmanager
def work_disk(options):
    if options.disk == "loop":
        with places.loop_disk(megabytes=3072,
                              mkfs_options=("-E", "lazy_itable_init=0")) as directory:
            yield directory
        return
    directory = tempfile.mkdtemp(prefix="alignfs-bench-", dir=options.disk)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("bench: needs root: loop devices, and mounts of other users' filesystems")
    if not options.alignfs:
        sys.exit("bench: --alignfs BINARY is missing")
    wanted = [name for name in options.cells.split(",") if name]
    unknown = set(wanted) - {cell.name for cell in cells.ALL}
    if unknown:
        sys.exit(f"bench: no cell is called {', '.join(sorted(unknown))}; there are: "
                 + ", ".join(cell.name for cell in cells.ALL))
    chosen = [cell for cell in cells.ALL if not wanted or cell.name in wanted]
    places.own_mounts()
    with work_disk(options) as disk:
        results = measure(options, disk, chosen)
    table = summary(results)
    os.makedirs(options.output, exist_ok=True)
    base = os.path.join(options.output, "results")
    versions = {name: places.version(name) for name in ("fio", "bindfs", "mergerfs")}
    with open(base + ".json", "w") as file:
        json.dump({"disk": options.disk, "rounds": options.rounds, "seconds": options.seconds,
                   "order": options.order, "kernel": os.uname().release, "versions": versions,
                   "cells": results, "summary": table}, file, indent=1)
    text = markdown(table, {"raw"} | {place.name for place in places.peers(options)})
    with open(base + ".md", "w") as file:
        file.write(text)
    chart.draw(table, base + ".svg")
    print(text)
    say(f"{base}.json, .md and .svg")


main()
