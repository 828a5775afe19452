"""Panoptic copy-paste: segments of one sample are pasted over another."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_deeplab.data.window import DEPTH_FIELDS, IMAGE_FIELDS, LABEL_FIELDS, sample_size
from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs

MODES = ("all", "random", "none")


@dataclasses.dataclass(frozen=True)
class PanopticCopyPaste:
    """Pastes segments of another sample over a sample: `(sample, other, rng) -> sample`.

    Both have been transformed to the same size. For each of things, stuff and void, all segments are pasted,
    none, or a random subset: its size is drawn from 0 to the number of all segments, then its members.
    Instance ids of pasted things are counted down from `label_divisor - 1`, so that they meet none of the
    sample's own.

    The other sample's padding is never pasted if it was padded with `padding` in place of void.

    Args:
        label_space: `LabelSpace` of both samples.
        things: str. `"all"`, `"random"` or `"none"`; crowd regions count as things.
        stuff: str. `"all"`, `"random"` or `"none"`.
        void: str. `"all"`, `"random"` or `"none"`.

    Raises:
        ValueError: for an unknown mode; or, when called, for samples without image or panoptic map, of
            different sizes or with fields of other frames or depth, and for instance ids of half the
            label divisor or more.

    Source: Ghiasi et al. 2021, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
    Segmentation", section 3; kMaX-DeepLab (Yu et al. 2022) was trained with it, extended to stuff.

    Example:
    ```python
    paste = PanopticCopyPaste(CITYSCAPES)
    crop = RandomScaleCrop((513, 1025), CITYSCAPES.void)
    crop_other = RandomScaleCrop((513, 1025), paste.padding, scales=(0.25, 1.0, 0.05))
    sample = paste(crop(sample, rng), crop_other(other, rng), rng)
    ```
    """

    label_space: LabelSpace
    things: str = "all"
    stuff: str = "random"
    void: str = "none"

    def __post_init__(self):
        for field in ("things", "stuff", "void"):
            mode = getattr(self, field)
            if mode not in MODES:
                raise ValueError(f"`{field}` must be one of {', '.join(MODES)}. Received: {field}={mode!r}")

    @property
    def padding(self) -> int:
        """The label to pad the other sample with."""
        return self.label_space.void + 1

    def __call__(self, sample: dict, other: dict, rng: np.random.Generator) -> dict:
        sizes = [_checked_size(each) for each in (sample, other)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"Samples {sample.get('name', '')!r} and {other.get('name', '')!r} differ in size: "
                f"{sizes[0]} and {sizes[1]}. Crop both to one size first."
            )
        self._check_instances(sample, find_runs(sample["panoptic"]).ids)
        runs = find_runs(other["panoptic"])
        self._check_instances(other, runs.ids)
        here = runs.paint(self._choose(runs, rng), bool)
        pasted = runs.paint(self._renumber(runs.ids), sample["panoptic"].dtype)
        return {
            **sample,
            "image": np.where(here[..., None], other["image"], sample["image"]),
            "panoptic": np.where(here, pasted, sample["panoptic"]),
        }

    def _choose(self, runs, rng):
        """Which of the other sample's segments are pasted, bool `[K]`."""
        count = len(runs.ids)
        kept = np.arange(count) < rng.integers(0, count + 1)
        subset = np.empty(count, bool)
        subset[runs.order_of_appearance()] = kept[rng.permutation(count)]
        chosen = {"all": np.ones(count, bool), "random": subset, "none": np.zeros(count, bool)}
        classes = runs.ids // self.label_space.label_divisor
        is_thing, is_void = (
            np.isin(classes, self.label_space.things),
            classes == self.label_space.ignore_label,
        )
        pasted = np.select([is_thing, is_void], [chosen[self.things], chosen[self.void]], chosen[self.stuff])
        return pasted & (runs.ids != self.padding)

    def _renumber(self, ids):
        divisor = self.label_space.label_divisor
        instances = ids % divisor
        return np.where(instances == 0, ids, ids - instances + divisor - 1 - instances)

    def _check_instances(self, sample, ids):
        divisor = self.label_space.label_divisor
        highest = (ids[ids != self.padding] % divisor).max(initial=0)
        if highest >= divisor // 2:
            raise ValueError(
                f"Sample {sample.get('name', '')!r} has instance {highest}. Copy-paste needs instances below "
                f"half the label divisor, {divisor // 2}: number the instances of each class anew or take a "
                "label space with a larger divisor."
            )


def _checked_size(sample):
    fields = {*IMAGE_FIELDS, *LABEL_FIELDS, *DEPTH_FIELDS} & set(sample)
    if fields != {"image", "panoptic"}:
        raise ValueError(
            f"Copy-paste works on an image and its panoptic map alone. Sample {sample.get('name', '')!r} "
            f"has the fields: {', '.join(sorted(fields)) or 'none'}."
        )
    return sample_size(sample)
