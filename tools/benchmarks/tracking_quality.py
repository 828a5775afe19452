"""Times `SegmentationAndTrackingQuality` beside the same metric computed on whole maps.

    python tools/benchmarks/tracking_quality.py --cityscapes /data/cityscapes    # validation split
    python tools/benchmarks/tracking_quality.py                                  # synthetic streets

Each map of 1024x2048 becomes a video that moves by a few pixels a frame; the prediction is its truth, some
pixels off and with some instances renumbered on the way. Prints medians over all frames in milliseconds, as
CPU time and, in brackets, wall time, and their ratio. The two must agree.

"Whole maps" follows DeepLab2's numpy version: masks and `np.unique` over int64 maps of class << 16 | instance
that it gets ready made. Ours gets int32 maps of class * label_divisor + instance.
"""

import argparse
import statistics
import sys
import time

import numpy as np
from measurement import ROOT


class WholeMaps:
    """STQ from `np.unique` over codes of class pairs, tubes and overlaps, with areas in dicts."""

    BITS = 16

    def __init__(self, label_space):
        self.label_space = label_space
        self.sequences = {}

    def encode(self, panoptic):
        """The map as this metric takes it."""
        classes, instance = np.divmod(panoptic.astype(np.int64), self.label_space.label_divisor)
        return (classes << self.BITS) + instance

    def update(self, truth, prediction, sequence, weights=None):
        space, size = self.label_space, self.label_space.num_classes + 1
        confusion, areas, predicted_areas, overlaps = self.sequences.setdefault(
            sequence, (np.zeros((size, size)), {}, {}, {})
        )
        true_class, predicted_class = truth >> self.BITS, prediction >> self.BITS
        if space.ignore_label > space.num_classes:
            true_class = np.where(true_class == space.ignore_label, space.num_classes, true_class)
            predicted_class = np.where(
                predicted_class == space.ignore_label, space.num_classes, predicted_class
            )
        pairs, counts = self.count((true_class << self.BITS) + predicted_class, weights)
        confusion[pairs >> self.BITS, pairs & (2**self.BITS - 1)] += counts

        is_tube, is_predicted_tube = np.zeros(truth.shape, bool), np.zeros(truth.shape, bool)
        for class_id in space.things:
            is_tube |= true_class == class_id
            is_predicted_tube |= predicted_class == class_id
        crowd = is_tube & (truth & (2**self.BITS - 1) == 0)
        is_tube, is_predicted_tube = is_tube & ~crowd, is_predicted_tube & ~crowd
        both = is_tube & is_predicted_tube
        codes = (truth[both] << 2 * self.BITS) + prediction[both]
        for total, values, mask in (
            (predicted_areas, prediction[is_predicted_tube], is_predicted_tube),
            (areas, truth[is_tube], is_tube),
            (overlaps, codes, both),
        ):
            found, counts = self.count(values, None if weights is None else weights[mask])
            for value, count in zip(found.tolist(), counts.tolist(), strict=True):
                total[value] = total.get(value, 0) + count

    @staticmethod
    def count(values, weights):
        if weights is None:
            return np.unique(values, return_counts=True)
        found, index = np.unique(values, return_inverse=True)
        return found, np.bincount(index.ravel(), weights.ravel())

    def result(self):
        qualities, total = [], 0
        for confusion, areas, predicted_areas, overlaps in self.sequences.values():
            confusion = confusion.copy()
            confusion[min(self.label_space.ignore_label, self.label_space.num_classes)] = 0
            total = total + confusion
            quality = dict.fromkeys(areas, 0.0)
            for code, overlap in overlaps.items():
                tube, predicted = code >> 2 * self.BITS, code & (2 ** (2 * self.BITS) - 1)
                quality[tube] += (
                    overlap**2 / (areas[tube] + predicted_areas[predicted] - overlap) / areas[tube]
                )
            qualities += quality.values()
        unions = total.sum(axis=0) + total.sum(axis=1) - total.diagonal()
        iou = (total.diagonal()[unions > 0] / unions[unions > 0]).mean()
        aq = float(np.mean(qualities))
        return {"stq": float(np.sqrt(aq * iou)), "aq": aq, "iou": float(iou)}


def load_maps(folder, count):
    """Panoptic maps of 1024x2048 and their label space."""
    from keras_deeplab.data import Cityscapes, StreetScenes

    reader = (
        Cityscapes(folder, "val", images=False) if folder else StreetScenes(count, image_size=(1024, 2048))
    )
    return reader.label_space, [reader[i]["panoptic"] for i in range(min(count, len(reader)))]


def make_video(panoptic, label_space, frames):
    """Pairs of truth and prediction."""
    for frame in range(frames):
        truth = np.roll(panoptic, (frame, 3 * frame), axis=(0, 1))
        prediction = np.roll(truth, (2, 5), axis=(0, 1))
        is_thing = np.isin(prediction // label_space.label_divisor, label_space.things)
        renumbered = is_thing & (prediction % 7 < frame % 3)
        yield truth, np.where(renumbered, prediction + 100, prediction).astype(np.int32)


def time_updates(ours, whole, videos, weights):
    """CPU and wall milliseconds of each update of both metrics: `[2, updates, 2]`."""
    times = [], []
    for sequence, video in enumerate(videos):
        for pair in video:
            encoded = [whole.encode(panoptic) for panoptic in pair]
            for metric, maps, laps in zip((ours, whole), (pair, encoded), times, strict=True):
                cpu, wall = time.process_time(), time.perf_counter()
                metric.update(*maps, sequence, weights)
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                laps.append((1000 * cpu, 1000 * wall))
    return times


def main():
    from keras_deeplab.metrics import SegmentationAndTrackingQuality

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cityscapes", help="folder of the dataset; without it, synthetic streets")
    parser.add_argument("--videos", type=int, default=4, help="number of maps")
    parser.add_argument("--frames", type=int, default=10, help="frames of each video")
    args = parser.parse_args()
    label_space, maps = load_maps(args.cityscapes, args.videos)
    half = np.ones(maps[0].shape)
    half[:, : maps[0].shape[1] // 4] = 0.5
    print(f"| {len(maps)} videos of {args.frames} frames | ours, ms    | whole maps, ms | ratio       |")
    print("| --- | --- | --- | --- |")
    for name, weights in (("update", None), ("update with weights", half)):
        metrics = SegmentationAndTrackingQuality(label_space), WholeMaps(label_space)
        videos = (make_video(panoptic, label_space, args.frames) for panoptic in maps)
        medians = [
            [statistics.median(column) for column in zip(*laps, strict=True)]
            for laps in time_updates(*metrics, videos, weights)
        ]
        ours, theirs = (metric.result() for metric in metrics)
        np.testing.assert_allclose([ours[key] for key in theirs], list(theirs.values()), rtol=1e-9)
        ratios = [whole / own for own, whole in zip(*medians, strict=True)]
        cells = (f"{cpu:5.1f} ({wall:5.1f})" for cpu, wall in [*medians, ratios])
        print(f"| {name:22} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
