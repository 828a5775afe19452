"""What DeepLab2's sample generator made of a sample with fixed draws, and our transforms with the same."""

from typing import NamedTuple

import numpy as np
import pytest

from keras_deeplab.data.transforms import RandomScaleCrop, ResizeToFit
from keras_deeplab.labels import LabelSpace
from tests.references import SOURCES, load_component

# Names of inputs there -> fields of a sample.
FIELDS = {
    "image": "image",
    "label": "panoptic",
    "prev_image": "previous_image",
    "prev_label": "previous_panoptic",
    "next_image": "next_image",
    "next_label": "next_panoptic",
    "depth": "depth",
}


# Entries of our targets -> names of outputs there.
OUTPUTS = {
    "semantic": "semantic_gt",
    "semantic_weight": "semantic_loss_weight",
    "center_heatmap": "instance_center_gt",
    "center_weight": "center_loss_weight",
    "center_offset": "instance_regression_gt",
    "offset_weight": "regression_loss_weight",
    "thing_id_mask": "thing_id_mask_gt",
    "thing_id_class": "thing_id_class_gt",
    "motion_offset": "frame_offset_gt",
    "motion_weight": "frame_regression_loss_weight",
    "next_center_offset": "next_instance_regression_gt",
    "next_offset_weight": "next_regression_loss_weight",
    "depth": "depth_gt",
}


class Draws:
    """A generator that returns prepared values and notes what it was asked for."""

    def __init__(self, *values):
        self.values, self.asked = list(values), []

    def integers(self, *bounds):
        self.asked.append(bounds)
        return self.values.pop(0)

    def random(self):
        self.asked.append("flip")
        return self.values.pop(0)


class Case(NamedTuple):
    """A case of the component `c03_targets_*`: what went in, the options, and what came out."""

    sample: dict
    options: dict
    fixed: dict
    label_space: LabelSpace
    expected: dict

    def transformed(self):
        """The sample after our transforms."""
        size, void = tuple(self.options["crop_size"]), self.label_space.void
        resize = tuple(self.options.get(f"{end}_resize_value") for end in ("min", "max"))
        resize = (*resize, self.options.get("resize_factor")) if any(np.ravel(resize[0])) else None
        if not self.options["is_training"]:
            return ResizeToFit(size, void, resize)(self.sample)
        scale = self.options.get("min_scale_factor", 1.0)
        paddings, crops = (self.fixed.get(f"{name}_offsets", (0, 0)) for name in ("pad", "crop"))
        draws = Draws(*paddings, *crops, 0.0 if self.fixed.get("flip") else 1.0)
        return RandomScaleCrop(size, void, (scale, scale, 0), resize=resize)(self.sample, draws)

    def targets(self, function, rng=None, **options):
        """Targets of the transformed sample, with the case's weights of small instances."""
        small = self.options.get("focus_small_instances") or {"threshold": 4096, "weight": None}
        return function(
            self.transformed(),
            self.label_space,
            rng,
            small_instance_area=small["threshold"],
            small_instance_weight=small["weight"],
            **options,
        )

    def assert_equal(self, targets):
        """Compares all targets that the case has an output for."""
        for name in targets.keys() & OUTPUTS.keys():
            expected = self.expected[OUTPUTS[name]]
            np.testing.assert_array_equal(targets[name].reshape(expected.shape), expected, err_msg=name)


def generator_cases(component, *needed):
    """Parameters `case` for pytest, of all cases that have the outputs named."""
    for source in SOURCES:
        arrays, meta = load_component(component, source)
        for name, parameters in meta["cases"].items():
            if all(f"{name}/out/{output}" in arrays for output in needed) and "gen" in parameters:
                yield pytest.param(_case(name, parameters, arrays), id=f"{source}-{name}")


def _case(name, parameters, arrays):
    sample = {}
    for there, field in FIELDS.items():
        if f"{name}/in/{there}" in arrays:
            value = arrays[f"{name}/in/{there}"]
            sample[field] = value if value.shape[-1] == 3 else value[..., 0]
    if "depth" in sample:
        sample["depth"] = sample["depth"].astype(np.float32) / 256
    label_space = LabelSpace(
        name=parameters["dataset"],
        classes=tuple(f"class {i}" for i in range(134 if parameters["ignore_label"] == 0 else 19)),
        things=tuple(parameters["things"]),
        ignore_label=parameters["ignore_label"],
        label_divisor=parameters["divisor"],
    )
    prefix = f"{name}/out/"
    expected = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return Case(sample, parameters["gen"], parameters["fixed"], label_space, expected)
