"""The table of networks and backends that `forward.py` and `training_step.py` print."""

import argparse
import json
import sys

from measurement import (
    KEEP_MEMORY,
    RETURN_MEMORY,
    ROOT,
    count_gflop,
    installed_backends,
    matrix_product_peak,
    measure,
    peak_memory,
    run_row,
    to_numpy,
    use_cores,
)
from networks import NETWORKS, PANOPTIC, PANOPTIC_SIZE, PEERS, PEERS_SIZE, backends_of, random_batch

HEADER = "| network | backend | first s | wall ms | CPU ms | GFLOP | GFLOP / CPU-s | % of peak | memory MB |"


def run_table(script, description, call, passes, batch, runs):
    """Parses the command line, runs every row in a process of its own, and prints them.

    Args:
        script: path of the calling script, which every row runs again.
        description: str. The script's docstring.
        call: function `(network, images, labels)` that does what is to be timed.
        passes: int. Arithmetic of a call in forward passes: a backward pass has twice that of a forward one.
        batch: int. Images per call.
        runs: int. Calls that a median is taken of.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(PANOPTIC))
    parser.add_argument("--peers", action="store_true", help="DeepLabV3+ beside keras-hub's and smp's")
    parser.add_argument("--backends", nargs="+", default=installed_backends())
    parser.add_argument("--cores", type=int, default=1, help="processor cores to use (default: 1)")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--options", type=json.loads, default={}, help="backbone's arguments, as JSON")
    parser.add_argument("--default-allocator", action="store_true", help="time with glibc's own settings")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.row is not None:
        print(json.dumps(_ROWS[args.row.pop("kind")](call, **args.row)))
        return

    def row(kind, backend, **options):
        return run_row(script, backend, kind=kind, cores=args.cores, **options)

    peaks = {backend: row("peak", backend)["peak"] for backend in args.backends}
    peak = max(peaks.values())
    print("2048 x 2048 matrix product:", ", ".join(f"{b} {p:.0f}" for b, p in peaks.items()), "GFLOP / CPU-s")
    print(HEADER, "| --- " * (HEADER.count("|") - 1) + "|", sep="\n")
    allocator = {} if args.default_allocator else KEEP_MEMORY
    size = args.size or (PEERS_SIZE if args.peers else PANOPTIC_SIZE)
    for name in PEERS if args.peers else args.networks:
        options = {"name": name, "size": size, "batch": args.batch, "options": args.options}
        counted = row("count", "torch", **options) if "torch" in installed_backends() else {}
        if "gflop" in counted:
            counted["gflop"] *= passes
        for backend in backends_of(name, args.backends):
            timed = row("time", backend, variables=allocator, runs=args.runs, **options)
            memory = row("memory", backend, variables=RETURN_MEMORY, **options)
            print(_format(name, backend, {**counted, **timed, **memory}, peak))
            sys.stdout.flush()


def prepare(call, name, size, batch, cores, options):
    """The call on a built network and a batch in memory, as a function without arguments."""
    use_cores(cores)
    network, data = NETWORKS[name](tuple(size), **options), random_batch(batch, size)
    return lambda: call(network, *data)


def memory_row(call, **row):
    """Peak of resident memory during the first two calls. The row runs with `RETURN_MEMORY`."""
    function = prepare(call, **row)
    return {"memory": peak_memory(lambda: [to_numpy(function()) for _ in range(2)])}


def count_row(call, **row):
    """Arithmetic of a forward pass, on the torch backend. The call itself is not needed."""
    return {"gflop": count_gflop(prepare(lambda network, images, labels: network.eager(images), **row))}


def _time_row(call, runs, **row):
    first, wall, cpu = measure(prepare(call, **row), runs)
    return {"first": first / 1000, "wall": wall, "cpu": cpu}


def _peak_row(call, cores):
    use_cores(cores)
    return {"peak": matrix_product_peak()}


_ROWS = {"time": _time_row, "memory": memory_row, "count": count_row, "peak": _peak_row}


def _format(name, backend, row, peak):
    if "error" in row:
        return f"| {name} | {backend} | {row['error']} |"
    rate = row["gflop"] / row["cpu"] * 1000 if "gflop" in row else None
    counted = ["-"] * 3
    if rate is not None:
        counted = [f"{row['gflop']:.1f}", f"{rate:.0f}", f"{100 * rate / peak:.0f}"]
    numbers = [f"{row['first']:.1f}", f"{row['wall']:.0f}", f"{row['cpu']:.0f}", *counted]
    return f"| {name} | {backend} | " + " | ".join([*numbers, f"{row['memory']:.0f}"]) + " |"
