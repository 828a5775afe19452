"""Times Panoptic-DeepLab's post-processing against grouping by the full matrix of distances.

    python tools/benchmarks/postprocessing.py                      # every installed backend
    KERAS_BACKEND=jax python tools/benchmarks/postprocessing.py    # one backend, in this process

Prints medians in milliseconds, as wall time and, in brackets, CPU time of all threads, which other
processes on the machine disturb less. torch's threads wait for each other by spinning: on a busy machine
set OMP_NUM_THREADS=1.

- first: the first call, with compilation. whole: all heads to all maps. grouping: that step alone.
- memory: the peak of resident memory while grouping, above that before, in MB.
- matrix: grouping as DeepLab2 and detectron2 do it, [centres, pixels] distances and their argmin, in a
  graph on TensorFlow, jitted on JAX, eager on torch. Only this step, no other post-processing.
- ratio: matrix / grouping, and matrix / whole. differing: share of pixels with another centre.

Scenes: "street" has about 30 % thing pixels that point to their centres within a few pixels; "random"
has only thing pixels, and they point anywhere.
"""

import argparse
import os
import subprocess
import sys

import numpy as np
from measurement import ROOT, installed_backends, measure, peak_memory

NUM_CLASSES = 19
THINGS = tuple(range(11, 19))


def make_scene(kind, height, width, num_centers, rng):
    """Heads of one image: logits, heat map and offsets."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    semantic = (y * 11 // height).astype(np.int32)
    offset = rng.normal(0, 2, (height, width, 2)).astype(np.float32)
    heatmap = rng.uniform(0, 0.05, (height, width)).astype(np.float32)
    band = (0.35, 0.75) if kind == "street" else (0.01, 0.99)
    # Instances of similar area that cover 30 % of the image, some of them behind others.
    radius = np.sqrt(0.4 * height * width / num_centers / np.pi)
    for center in place_centers(num_centers, height, width, band, rng):
        heatmap[tuple(center)] = rng.uniform(0.2, 1)
        ratio = rng.uniform(0.6, 1.6)
        inside = ((y - center[0]) * ratio) ** 2 + ((x - center[1]) / ratio) ** 2 < radius**2
        semantic[inside] = rng.choice(THINGS)
        offset[inside] += center - np.stack([y[inside], x[inside]], axis=-1)
    if kind == "random":
        semantic = rng.choice(THINGS, (height, width))
        offset = rng.uniform(-width / 2, width / 2, (height, width, 2)).astype(np.float32)
    logits = rng.normal(0, 1, (height, width, NUM_CLASSES)).astype(np.float32)
    np.put_along_axis(logits, semantic[..., None], 8, axis=-1)
    return {
        "semantic_logits": logits[None],
        "center_heatmap": heatmap[None, ..., None],
        "center_offset": offset.astype(np.float32)[None],
    }


def place_centers(count, height, width, band, rng):
    """Centres at least 7 pixels apart, so that non-maximum suppression keeps all of them."""
    centers = np.zeros((0, 2), int)
    while len(centers) < count:
        candidate = np.array([rng.integers(height * band[0], height * band[1]), rng.integers(width)])
        if np.abs(centers - candidate).max(axis=-1, initial=0, where=True).min(initial=99) > 6:
            centers = np.concatenate([centers, candidate[None]])
    return centers


def matrix_grouping(centers, offset):
    """The full matrix of distances and its argmin over the centres."""
    from keras import ops

    height, width, _ = offset.shape
    y, x = ops.meshgrid(
        ops.arange(height, dtype="float32"), ops.arange(width, dtype="float32"), indexing="ij"
    )
    points = ops.reshape(ops.stack([y, x], axis=-1) + offset, (1, -1, 2))
    distances = ops.norm(ops.cast(centers, "float32")[:, None] - points, axis=-1)
    return ops.reshape(ops.argmin(distances, axis=0), (height, width))


def compile_graph(function):
    """The function as a user of the backend would run it."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def benchmark_scene(kind, count, args):
    """One row of the table."""
    import keras
    from keras import ops

    from keras_deeplab.ops.compilation import compiled
    from keras_deeplab.ops.grouping import group_pixels
    from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor

    scene = make_scene(kind, *args.size, count, np.random.default_rng(0))
    heads = {name: ops.convert_to_tensor(value) for name, value in scene.items()}
    postprocessor = PanopticPostprocessor(THINGS, top_k=args.top_k)
    first, wall, cpu = measure(lambda: postprocessor(heads), args.runs)
    maps = {name: ops.convert_to_numpy(value) for name, value in postprocessor(heads).items()}
    found = int((maps["centers"][..., 2] > 0).sum())

    centers, scores = maps["centers"][..., :2], maps["centers"][..., 2]
    mask = np.isin(maps["semantic"], THINGS)
    inputs = [ops.convert_to_tensor(value) for value in (centers, scores, scene["center_offset"], mask)]
    group = compiled(group_pixels)
    _, group_wall, group_cpu = measure(lambda: group(*inputs), args.runs)
    memory = peak_memory(lambda: np.asarray(group(*inputs)))
    row = f"{keras.backend.backend():10} {kind:6} {found:7} | {first:6.0f} | {wall:5.0f} ({cpu:5.0f})"
    row += f" | {group_wall:5.0f} ({group_cpu:5.0f}) | {memory:6.0f}"
    if args.matrix_runs:
        matrix = compile_graph(matrix_grouping)
        used, offset = ops.convert_to_tensor(centers[0, :found]), heads["center_offset"][0]
        nearest = np.where(mask[0], np.asarray(matrix(used, offset)) + 1, 0)
        _, full_wall, full_cpu = measure(lambda: matrix(used, offset), args.matrix_runs)
        row += f" | {full_wall:6.0f} ({full_cpu:6.0f}) | {full_cpu / group_cpu:5.0f} {full_cpu / cpu:5.0f}"
        row += f" | {np.mean(nearest != maps['instance'][0]):.0e}"
    print(row, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(1025, 2049), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--centers", type=int, nargs="+", default=(50, 200))
    parser.add_argument("--scenes", nargs="+", default=("street", "random"), choices=("street", "random"))
    parser.add_argument("--top-k", type=int, default=400)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--matrix-runs", type=int, default=2, help="0 leaves the matrix out")
    args = parser.parse_args()
    if "KERAS_BACKEND" in os.environ:
        print("backend    scene  centres |  first | whole         | grouping      | memory", end="")
        print(" | matrix          | ratio of CPU | differing" * bool(args.matrix_runs))
        for kind in args.scenes:
            for count in args.centers:
                benchmark_scene(kind, count, args)
        return
    for backend in installed_backends():
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([sys.executable, *sys.argv], env=environment, check=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
