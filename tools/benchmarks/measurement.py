"""Time, memory and arithmetic of a call, each row of a table in a process of its own."""

import contextlib
import ctypes
import importlib.util
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ("tensorflow", "jax", "torch")
# Makes glibc give every larger block back when it is freed. It costs time: not for timings.
RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
# Makes glibc keep all memory. By default every large tensor is new memory, which the system has to clear page
# by page: up to a third of a training step, and it varies.
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**34),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}


def installed_backends():
    """The backends of `BACKENDS` that this environment has."""
    return [backend for backend in BACKENDS if importlib.util.find_spec(backend)]


def measure(function, runs):
    """Times of the first call and medians of later ones: first wall, wall, CPU in milliseconds.

    A call's results are brought to numpy, so that nothing is left running.
    """

    def once():
        wall, cpu = time.perf_counter(), time.process_time()
        to_numpy(function())
        return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)

    first, _ = once()
    times = [once() for _ in range(runs)]
    return first, *(statistics.median(t) for t in zip(*times, strict=True))


def to_numpy(results):
    """Brings a nest of tensors to numpy, and so waits for what is still being computed."""
    from keras import tree

    return tree.map_structure(np.asarray, results)


def peak_memory(function):
    """Highest resident memory during a call above that before it, in MB. Linux only.

    Freed memory must have gone back to the system, or a call would reuse what an earlier one got: run it
    with `RETURN_MEMORY` in the environment of the process.
    """
    give_memory_back()
    before = _resident()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    function()
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e6 - before


def give_memory_back():
    """Gives what this process has freed back to the system. glibc only."""
    ctypes.CDLL(None).malloc_trim(0)


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def matrix_product_peak(size=2048, runs=7):
    """GFLOP per CPU-second of the backend's own product of two square float32 matrices; best of the runs."""
    import keras
    from keras import ops

    matrix = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(size, size)).astype("float32"))
    multiply = ops.matmul
    if keras.backend.backend() == "jax":
        import jax

        multiply = jax.jit(ops.matmul)
    times = []
    for _ in range(runs + 1):
        start = time.process_time()
        ops.convert_to_numpy(multiply(matrix, matrix))
        times.append(time.process_time() - start)
    return 2 * size**3 / 1e9 / min(times[1:])


def count_gflop(function):
    """GFLOP of one eager call on the torch backend: 2 for every multiply-add of products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 1e9


def use_cores(count):
    """Keeps this process, and the threads it starts from now on, to the first cores of the machine."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = str(len(cores))


def run_row(script, backend, variables=None, **row):
    """Runs `script --row JSON` on a backend in a process of its own; returns the JSON it prints last.

    `variables` are added to the process's environment.

    A row that fails gives `{"error": the last line of what it wrote}`.
    """
    done = subprocess.run(**_row_process(script, backend, variables, row), capture_output=True, text=True)
    if done.returncode:
        return _error(done.stderr, done.returncode)
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextlib.contextmanager
def standing_row(script, backend, variables=None, **row):
    """`script --row JSON` as for `run_row`, in a process that stays and waits between its answers.

    So several networks can be measured in turns. The process calls `answer_requests`. What `with` gives is a
    function that asks for the next answer; it returns `{"error": ...}` when the process has failed.
    """
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            **_row_process(script, backend, variables, row),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0,
        ) as process,
    ):  # fmt: skip

        def ask():
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"\n")
            answer = process.stdout.readline()
            if answer:
                return json.loads(answer)
            process.wait()
            errors.seek(0)
            return _error(errors.read(), process.returncode)

        yield ask


def answer_requests(answers):
    """Prints the next of an iterator's answers as JSON whenever `standing_row` asks for one."""
    for _, answer in zip(sys.stdin, answers, strict=False):
        print(json.dumps(answer), flush=True)


def _row_process(script, backend, variables, row):
    """Arguments of `subprocess` for a row."""
    return {
        "args": [sys.executable, str(script), "--row", json.dumps(row)],
        "env": {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **(variables or {})},
    }


def _error(text, code):
    return {"error": (text.strip().splitlines() or [f"exit code {code}"])[-1]}
