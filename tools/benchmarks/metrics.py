"""Times panoptic quality, from maps in memory and from PNG files, beside other tools on the same pairs.

    python tools/benchmarks/metrics.py --cityscapes /data/cityscapes    # labels of the validation split
    python tools/benchmarks/metrics.py                                  # synthetic streets of the same size

The predictions are the labels, shifted by (3, 5) pixels and with every fifth segment dropped. Prints CPU time
per pair (median over pairs or, where a tool takes all pairs at once, the mean; best of the runs, which take
turns), wall time in brackets, and the PQ that each tool finds.

- bincount: numpy's on the product of two maps whose ids are small and without gaps already, which is the part
  that any evaluation with it has to do; the way to PQ comes on top.
- panopticapi, maps: its routine for one image with files that are decoded already.
- hotcoco (https://pypi.org/project/hotcoco/) and panopticapi are left out where they are not installed.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time

from measurement import ROOT, use_cores

ALL_CORES = os.sched_getaffinity(0)


def load_pairs(folder, count):
    """The label space and pairs of true and disturbed maps, 1024x2048."""
    import numpy as np

    from keras_deeplab.data import Cityscapes, StreetScenes

    if folder:
        reader = Cityscapes(folder, split="val", images=False)
    else:
        reader = StreetScenes(count, image_size=(1024, 2048))
    truths = [reader[i]["panoptic"] for i in range(min(count, len(reader)))]
    return reader.label_space, [(truth, disturb(truth, reader.label_space, np)) for truth in truths]


def disturb(truth, label_space, np):
    prediction = np.roll(truth, (3, 5), axis=(0, 1))
    dropped = np.unique(truth[truth != label_space.void])[::5]
    return np.where(np.isin(prediction, dropped), label_space.void, prediction)


def write_files(folder, maps, label_space):
    """A COCO panoptic JSON file with integer image ids, and its PNG files."""
    from keras_deeplab import Segmentation
    from keras_deeplab.data.writers import PredictionWriter

    with PredictionWriter(folder, label_space) as writer:
        for number, panoptic in enumerate(maps):
            writer.write(Segmentation(panoptic, label_space), f"{number:012}")
    return folder / "panoptic.json"


def timed(function, *arguments):
    """CPU time of this process and its ended children, and wall time, in milliseconds; and the result."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = function(*arguments)
    return 1000 * (cpu_seconds() - cpu), 1000 * (time.perf_counter() - wall), result


def cpu_seconds():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run_in_turns(contenders, runs):
    """Best CPU and wall time of each contender, a callable that gives (CPU, wall, PQ) per pair."""
    laps = {name: [] for name in contenders}
    for _ in range(runs):
        for name, contender in contenders.items():
            laps[name].append(contender())
    return {
        name: (min(lap[0] for lap in of), min(lap[1] for lap in of), of[0][2]) for name, of in laps.items()
    }


def print_table(title, rows, ours):
    print(f"\n{title}\n\n| tool | CPU ms (wall ms) per pair | of ours | PQ |\n| --- | ---: | ---: | ---: |")
    for name, (cpu, wall, quality) in rows.items():
        quality = "" if quality is None else f"{100 * quality:.4f}"
        print(f"| {name} | {cpu:.1f} ({wall:.1f}) | {cpu / rows[ours][0]:.1f} | {quality} |", flush=True)


def per_pair(function, pairs):
    """A contender that calls a function on each pair: medians, and no PQ."""

    def run():
        laps = [timed(function, *pair)[:2] for pair in pairs]
        return (*map(statistics.median, zip(*laps, strict=True)), None)

    return run


def at_once(function, count):
    """A contender that takes all pairs in one call and gives their PQ."""

    def run():
        cpu, wall, quality = timed(function)
        return cpu / count, wall / count, quality

    return run


def our_maps(pairs, label_space):
    from keras_deeplab.metrics import PanopticQuality

    def run():
        metric = PanopticQuality(label_space, convention="official")
        laps = [timed(metric.update, *pair)[:2] for pair in pairs]
        return (*map(statistics.median, zip(*laps, strict=True)), metric.result()["pq"])

    return run


def bincount_maps(pairs):
    import numpy as np

    def number(panoptic):
        ids, numbers = np.unique(panoptic, return_inverse=True)
        return numbers.reshape(panoptic.shape).astype(np.int32), len(ids)

    def count(truth, prediction):
        (true, rows), (predicted, columns) = truth, prediction
        return np.bincount((true * columns + predicted).ravel(), minlength=rows * columns)

    return per_pair(count, [tuple(map(number, pair)) for pair in pairs])


def panopticapi_maps(truth, prediction):
    """panopticapi's routine, its pictures decoded before the clock starts."""
    import json

    from panopticapi import evaluation

    contents = [json.loads(path.read_text()) for path in (truth, prediction)]
    categories = {category["id"]: category for category in contents[0]["categories"]}
    annotations = list(zip(*(content["annotations"] for content in contents), strict=True))
    opener = evaluation.Image.open
    folders = [str(path.with_suffix("")) for path in (truth, prediction)]
    pictures = {}
    for folder, content in zip(folders, contents, strict=True):
        for annotation in content["annotations"]:
            path = os.path.join(folder, annotation["file_name"])
            with opener(path) as picture:
                pictures[path] = picture.convert("RGB")

    def run():
        evaluation.Image.open = pictures.__getitem__
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                laps = [
                    timed(evaluation.pq_compute_single_core, 0, [pair], *folders, categories)
                    for pair in annotations
                ]
        finally:
            evaluation.Image.open = opener
        statistic = evaluation.PQStat()
        for *_, one in laps:
            statistic += one
        cpu, wall = (statistics.median(lap[i] for lap in laps) for i in (0, 1))
        return cpu, wall, statistic.pq_average(categories, isthing=None)[0]["pq"]

    return run


def our_files(truth, prediction, label_space, processes):
    from keras_deeplab import compare
    from keras_deeplab.data import CocoPanoptic

    def run():
        readers = [CocoPanoptic(None, path, label_space=label_space) for path in (truth, prediction)]
        return compare(*readers, metrics=["pq"], convention="official", processes=processes)["pq"]

    return run


def hotcoco_files(truth, prediction):
    from hotcoco import panoptic

    def run():
        with contextlib.redirect_stdout(io.StringIO()):
            return panoptic.pq_compute(str(truth), str(prediction))["All"]["pq"]

    return run


def panopticapi_files(truth, prediction):
    """Its routine for one process, since it starts processes without waiting for their end."""
    import json

    from panopticapi import evaluation

    def run():
        contents = [json.loads(path.read_text()) for path in (truth, prediction)]
        categories = {category["id"]: category for category in contents[0]["categories"]}
        annotations = list(zip(*(content["annotations"] for content in contents), strict=True))
        folders = [str(path.with_suffix("")) for path in (truth, prediction)]
        with contextlib.redirect_stdout(io.StringIO()):
            statistic = evaluation.pq_compute_single_core(0, annotations, *folders, categories)
        return statistic.pq_average(categories, isthing=None)[0]["pq"]

    return run


def main(options):
    label_space, pairs = load_pairs(options.cityscapes, options.count)
    has = {name: importlib.util.find_spec(name) is not None for name in ("hotcoco", "panopticapi")}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        truth, prediction = (
            write_files(folder / name, maps, label_space)
            for name, maps in zip(("truth", "prediction"), zip(*pairs, strict=True), strict=True)
        )
        contenders = {"keras_deeplab": our_maps(pairs, label_space), "bincount": bincount_maps(pairs)}
        if has["panopticapi"]:
            contenders["panopticapi"] = panopticapi_maps(truth, prediction)
        use_cores(1)
        rows = run_in_turns(contenders, options.runs)
        print_table(f"{len(pairs)} pairs of maps in memory, 1 core", rows, "keras_deeplab")

        def files(processes):
            return at_once(our_files(truth, prediction, label_space, processes), len(pairs))

        contenders = {"keras_deeplab": files(0)}
        for name, make in (("hotcoco", hotcoco_files), ("panopticapi", panopticapi_files)):
            if has[name]:
                contenders[name] = at_once(make(truth, prediction), len(pairs))
        rows = run_in_turns(contenders, options.runs)
        print_table(f"{len(pairs)} pairs of PNG files, 1 core", rows, "keras_deeplab")

        os.sched_setaffinity(0, ALL_CORES)
        print_scaling(folder / "more", label_space, pairs, options)


def print_scaling(folder, label_space, pairs, options):
    """Wall time of many pairs of files in several processes, which take about a second to start."""
    maps = list(zip(*(pairs * options.repeat), strict=True))
    truth, prediction = (
        write_files(folder / name, maps_of, label_space)
        for name, maps_of in zip(("truth", "prediction"), maps, strict=True)
    )
    count = len(maps[0])
    print(f"\n{count} pairs of PNG files\n\n| processes | wall s | pairs/s |\n| --- | ---: | ---: |")
    for processes in (0, *range(1, options.processes + 1)):
        _, wall, _ = timed(our_files(truth, prediction, label_space, processes))
        print(f"| {processes or 'in this one'} | {wall / 1000:.1f} | {1000 * count / wall:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cityscapes", help="folder of Cityscapes")
    parser.add_argument("--count", type=int, default=15, help="pairs (default: 15)")
    parser.add_argument("--runs", type=int, default=5, help="runs in turns (default: 5)")
    parser.add_argument(
        "--processes", type=int, default=len(ALL_CORES), help="most processes (default: all cores)"
    )
    parser.add_argument(
        "--repeat", type=int, default=10, help="copies of the pairs for the scaling (default: 10)"
    )
    sys.path.insert(0, str(ROOT))
    main(parser.parse_args())
