"""Times reading and augmenting Cityscapes frames, beside the same work in tf.data and torch's DataLoader.

    python tools/benchmarks/data.py --data /data/cityscapes                # a table of all rows
    python tools/benchmarks/data.py --data /data/cityscapes --images 64

Every row makes Panoptic-DeepLab's training batches of 4 from 1024x2048 PNG files: decode image and instance
ids, scale by 0.5 to 2, crop 513x1025, AutoAugment's colours, flip, normalise, targets. The peers decode,
resize and colour with their own means (tf.io and tf.image; Pillow and torch), change the colours of the
crop alone, and get our targets. Each row runs in processes of its own, kept to as many cores as workers.
Ours decodes with kornia-rs where it is installed, else with OpenCV; a line above the table says which it was.

- workers: threads of ours and of tf.data, unless it says processes; processes of the DataLoader.
- images/s: of all batches but the first two, with which the queues fill.
- CPU ms: per image, of all threads and processes.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import sys
import time

import cv2
from measurement import run_row, use_cores

from keras_deeplab.data import Cityscapes, panoptic_targets
from keras_deeplab.data.cityscapes import panoptic_from_instance_ids
from keras_deeplab.data.image_format import read_header
from keras_deeplab.data.png import decode_png
from keras_deeplab.labels import CITYSCAPES

SIZE = (513, 1025)
SCALES = (0.5, 2.0, 0.1)
BATCH = 4
WARM_UP = 2


def our_threads(root, workers):
    return _our_batches(root, num_threads=workers)


def our_processes(root, workers):
    return _our_batches(root, num_threads=1, num_workers=workers)


def _our_batches(root, **number):
    from keras_deeplab.data import AutoAugment, Pipeline

    reader = Cityscapes(root, labels="instance_ids")
    return iter(Pipeline(reader, SIZE, BATCH, scales=SCALES, autoaugment=AutoAugment(), **number).dataset)


def tf_data(root, workers):
    from data_tensorflow import batches

    return batches(*frame_paths(root), SIZE, BATCH, workers)


def data_loader(root, workers):
    from data_torch import batches

    return batches(*frame_paths(root), SIZE, BATCH, workers)


LOADERS = {loader.__name__: loader for loader in (our_threads, our_processes, tf_data, data_loader)}
ROWS = [
    (loader, workers) for workers in (1, 2) for loader in LOADERS if (loader, workers) != ("our_processes", 1)
]


def frame_paths(root):
    """Paths of the images and of their instance ids."""
    images = sorted(map(str, pathlib.Path(root, "leftImg8bit", "train").glob("*/*_leftImg8bit.png")))
    labels = [
        path.replace("leftImg8bit.png", "gtFine_instanceIds.png").replace("/leftImg8bit/", "/gtFine/")
        for path in images
    ]
    return images, labels


def png_decoder(path):
    """What `read_image` and `read_label` decode a PNG file with, found by decoding it."""
    data = pathlib.Path(path).read_bytes()
    if decode_png(data, read_header(data)) is None:
        return f"OpenCV {cv2.__version__}"
    return f"kornia-rs {importlib.metadata.version('kornia-rs')}"


def targets_of(instance_ids):
    """What the peers call for the targets of a cropped map of instance ids, with 0 as padding."""
    return panoptic_targets(panoptic_from_instance_ids(instance_ids, CITYSCAPES), CITYSCAPES)


def measure_row(loader, workers, root, images):
    """Images per second and CPU milliseconds per image, after the first batches."""
    use_cores(workers)
    cv2.setNumThreads(1)
    batches = LOADERS[loader](root, workers)
    for _ in range(WARM_UP):
        next(batches)
    steps = max(images // BATCH, 1)
    wall, cpu = time.perf_counter(), tree_cpu_seconds()
    for _ in range(steps):
        shape = next(batches)[0].shape
    wall, cpu = time.perf_counter() - wall, tree_cpu_seconds() - cpu
    return {"rate": steps * BATCH / wall, "cpu": 1000 * cpu / steps / BATCH, "shape": list(shape)}


def tree_cpu_seconds():
    """CPU seconds of this process and of all its living descendants. Linux only."""
    times, parents = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
        times[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family, found = {os.getpid()}, 0
    while len(family) > found:
        found = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return sum(times.get(process, 0) for process in family)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="the Cityscapes folder")
    parser.add_argument("--images", type=int, default=48, help="images to time per row (default: 48)")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure_row(**json.loads(options.row))))
        return
    if not options.data:
        parser.error("--data is needed")
    images, labels = frame_paths(options.data)
    if not images:
        parser.error(f"there are no images of the training split in {options.data}")
    image, label = png_decoder(images[0]), png_decoder(labels[0])
    print(f"PNG files of ours: images by {image}, labels by {label}\n")
    print("| loader | workers | images/s | CPU ms | batch |\n|---|--:|--:|--:|---|")
    for loader, workers in ROWS:
        row = run_row(
            pathlib.Path(__file__), "torch", loader=loader, workers=workers, root=options.data,
            images=options.images,
        )  # fmt: skip
        name = loader.replace("_", " ")
        if "error" in row:
            print(f"| {name} | {workers} | {row['error']} | | |")
        else:
            size = "x".join(map(str, row["shape"]))
            print(f"| {name} | {workers} | {row['rate']:.2f} | {row['cpu']:.0f} | {size} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
