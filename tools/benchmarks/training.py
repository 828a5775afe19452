"""Times training in images per second, beside segmentation_models.pytorch's on the same encoders.

    PYTHONPATH=build/peers python tools/benchmarks/training.py
    PYTHONPATH=build/peers python tools/benchmarks/training.py --batches 2 --steps 1 --rounds 1    # a trial

Panoptic-DeepLab as its constructor compiles it (three losses, hard pixels mined; Adam), trained by
`model.fit`, as `kd.train` does, on every installed backend; and smp's DeepLabV3+ (cross-entropy, Adam) in
eager torch. One batch in memory is given again and again, so that the network is timed, not the data.

The two are not equal. Ours has output stride 32, as published with these backbones, and two
decoders with plain 3x3 convolutions; smp's has stride 16 at most and one separable decoder, and takes sides
that are multiples of 16 alone: 256 in place of 257. Read the ratios beside those of the arithmetic.

All networks of a batch size stay in processes of their own and take turns: a round of each is one step that
is not timed, and then `--steps` that are. While one computes, the others wait, and have given back the
memory that they had freed. Ratios thus compare steps made within minutes of each other.

Columns: arithmetic of a step, per image; seconds of the first step, compilation included; median of the timed
steps; images per second; these as a multiple of smp's; peak memory during the first two steps, above that of
the built network.

`training_step.py` times a single `train_on_batch`, which takes longer than a step of `fit` on JAX: it brings
the state back into the model every time. It measures one network after the other, as wall and as CPU time,
and says how near the arithmetic comes to the processor's peak.
"""

import argparse
import contextlib
import functools
import json
import statistics
import sys

from measurement import (
    KEEP_MEMORY,
    RETURN_MEMORY,
    ROOT,
    answer_requests,
    give_memory_back,
    installed_backends,
    run_row,
    standing_row,
)
from network_table import count_row, memory_row, prepare
from networks import SMP

HEADER = (
    "| network | backend | batch | GFLOP / image | first s | ms / step | images / s | x smp's | memory MB |"
)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=SMP, default=list(SMP))
    parser.add_argument("--backends", nargs="+", default=installed_backends())
    parser.add_argument("--batches", nargs="+", type=int, default=[2, 8], help="batch sizes (default: 2 8)")
    parser.add_argument("--steps", type=int, default=3, help="timed steps in a round (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each network (default: 3)")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=(257, 257))
    parser.add_argument("--output-stride", type=int, default=32, help="of our encoders (default: 32)")
    parser.add_argument("--cores", type=int, default=1, help="processor cores to use (default: 1)")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.row is not None:
        _ROWS[args.row.pop("kind")](**args.row)
        return
    print(HEADER, "| --- " * (HEADER.count("|") - 1) + "|", sep="\n", flush=True)
    for name in args.networks:
        gflop = count_arithmetic(list_rows(name, 1, args))
        for batch in args.batches:
            rows = list_rows(name, batch, args)
            times = time_in_turns(rows, args.steps, args.rounds)
            memory = [run_row(__file__, variables=RETURN_MEMORY, kind="memory", **row) for row in rows]
            print_rows(rows, gflop, times, memory)


def list_rows(name, batch, args):
    """What is compared: our network on every backend and, last, smp's."""
    ours = {"name": name, "size": args.size, "options": {"output_stride": args.output_stride}}
    smp = {"name": f"smp_{name}", "size": [side // 16 * 16 for side in args.size], "options": {}}
    contenders = [*((backend, ours) for backend in args.backends), ("torch", smp)]
    return [
        {"backend": backend, "batch": batch, "cores": args.cores, **network}
        for backend, network in contenders
    ]


def count_arithmetic(rows):
    """GFLOP of a training step, three forward passes, by the network's name; for rows of one image."""
    networks = {row["name"]: {**row, "backend": "torch"} for row in rows}
    counts = {name: run_row(__file__, kind="count", **row) for name, row in networks.items()}
    return {name: f"{3 * count['gflop']:.1f}" if "gflop" in count else "-" for name, count in counts.items()}


def time_in_turns(rows, steps, rounds):
    """Seconds of every row's first step and of its timed ones, or its error."""
    with contextlib.ExitStack() as stack:
        results = []
        for row in rows:  # each is asked before the next one starts: they compile one after the other
            process = standing_row(__file__, variables=KEEP_MEMORY, kind="turns", steps=steps, **row)
            ask = stack.enter_context(process)
            results.append((ask, {"times": [], **ask()}))
        for _ in range(rounds):
            for ask, result in results:
                turn = ask()
                result["times"] += turn.pop("times", [])
                result.update(turn)
    return [result for _, result in results]


def print_rows(rows, gflop, times, memory):
    """Prints a group of rows, the last of which is the one that the others are compared with."""
    results = [{**timed, **used} for timed, used in zip(times, memory, strict=True)]
    for row, result in zip(rows, results, strict=True):
        start = f"| {row['name']} | {row['backend']} | {row['batch']} |"
        if "error" in result:
            print(start, result["error"], "|", flush=True)
            continue
        seconds = statistics.median(result["times"])
        ratio = f"{statistics.median(results[-1]['times']) / seconds:.2f}" if results[-1]["times"] else "-"
        numbers = [
            gflop[row["name"]],
            f"{result['first']:.1f}",
            f"{1000 * seconds:.0f}",
            f"{row['batch'] / seconds:.2f}",
        ]
        print(start, " | ".join([*numbers, ratio, f"{result['memory']:.0f}"]), "|", flush=True)


def _turns(steps, **row):
    answer_requests(_take_turns(steps, row))


def _take_turns(steps, row):
    fit = prepare(lambda network, images, labels: functools.partial(network.fit, images, labels), **row)()
    yield {"first": fit(1)[0]}
    while True:
        # The step that does not count gets back the memory, and what others took of the caches.
        times = fit(1 + steps)[1:]
        give_memory_back()
        yield {"times": times}


def _memory(**row):
    print(json.dumps(memory_row(lambda network, images, labels: network.fit(images, labels, 1), **row)))


def _count(**row):
    print(json.dumps(count_row(None, **row)))


_ROWS = {"turns": _turns, "memory": _memory, "count": _count}


if __name__ == "__main__":
    main()
