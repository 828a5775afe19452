"""AutoAugment: colour operations drawn from a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from keras_deeplab.data import color_operations
from keras_deeplab.data.window import IMAGE_FIELDS

# Sub-policies of which one is drawn: (operation, probability, magnitude in 0..10), one after another.
POLICIES = {
    "simple_classification": (
        (("Sharpness", 0.4, 7), ("Brightness", 0.2, 10)),
        (("Equalize", 0.0, 9), ("Contrast", 0.2, 10)),
        (("Sharpness", 0.2, 9), ("Color", 0.2, 9)),
        (("Solarize", 0.2, 7), ("Equalize", 0.6, 9)),
        (("Sharpness", 0.2, 1), ("Equalize", 0.2, 7)),
    ),
}


class Operation(NamedTuple):
    """A colour operation and how a policy's magnitude becomes its argument.

    Attributes:
        function: callable `(image, *arguments) -> image` on uint8 `[H, W, 3]`.
        arguments: callable, from a magnitude in 0..10 to the function's further arguments.
        reach: how many pixels around it a pixel's result depends on; `None` for the whole image.
    """

    function: Callable
    arguments: Callable
    reach: int | None


def _nothing(magnitude):
    return ()


def _strength(magnitude):
    return (magnitude / 10 * 1.8 + 0.1,)


# Contrast depends on the number of pixels: see `color_operations`.
OPERATIONS = {
    "AutoContrast": Operation(color_operations.auto_contrast, _nothing, None),
    "Equalize": Operation(color_operations.equalize, _nothing, None),
    "Invert": Operation(color_operations.invert, _nothing, 0),
    "Posterize": Operation(color_operations.posterize, lambda magnitude: (int(magnitude / 10 * 4),), 0),
    "Solarize": Operation(color_operations.solarize, lambda magnitude: (int(magnitude / 10 * 256),), 0),
    "Color": Operation(color_operations.adjust_color, _strength, 0),
    "Contrast": Operation(color_operations.adjust_contrast, _strength, None),
    "Brightness": Operation(color_operations.adjust_brightness, _strength, 0),
    "Sharpness": Operation(color_operations.adjust_sharpness, _strength, 1),
}


@dataclasses.dataclass(frozen=True)
class ColorOperations:
    """Colour operations that were drawn, one after another: uint8 `[H, W, 3]` to the same.

    Args:
        steps: tuple of `(name, magnitude)`.
    """

    steps: tuple[tuple[str, float], ...]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        for name, magnitude in self.steps:
            operation = OPERATIONS[name]
            image = operation.function(image, *operation.arguments(magnitude))
        return image

    @property
    def reach(self) -> int | None:
        """How many pixels around it a pixel's result depends on; `None` for the whole image."""
        reaches = [OPERATIONS[name].reach for name, _ in self.steps]
        return None if None in reaches else sum(reaches)


@dataclasses.dataclass(frozen=True)
class AutoAugment:
    """Changes colours at random, after a policy that was found by search.

    One sub-policy is drawn, and each of its operations takes place with its probability. All images of a
    sample get the same operations, and lose their fractions first: operations work on uint8.

    In DeepLab2's order colours change after scaling and before padding and cropping: pass it to
    `RandomScaleCrop` for that. What the crop shows is then as if the whole scaled image had been changed;
    only for operations that depend on all of it is it computed. Called alone it changes images as they are.

    Args:
        policy: name in `POLICIES`, or a sequence of sub-policies as listed there: sequences of
            `(operation, probability, magnitude)`.
        magnitude_scale: float. Multiplies all magnitudes; DeepLab2's mild variant has 0.2.

    Raises:
        ValueError: for an unknown policy or operation, a probability outside of [0, 1] or a magnitude outside
            of 0..10.

    Source: Cubuk et al. 2019, "AutoAugment: Learning Augmentation Strategies from Data", section 3.

    Example:
    ```python
    transform = RandomScaleCrop((513, 1025), CITYSCAPES.void, autoaugment=AutoAugment(magnitude_scale=0.2))
    sample = transform(sample, np.random.default_rng(0))
    ```
    """

    policy: str | Sequence = "simple_classification"
    magnitude_scale: float = 1.0

    def __post_init__(self):
        if isinstance(self.policy, str) and self.policy not in POLICIES:
            raise ValueError(f"Unknown policy {self.policy!r}. Policies: {', '.join(sorted(POLICIES))}.")
        if len(self.policy) == 0:
            raise ValueError("`policy` has no sub-policies.")
        for sub_policy in self.sub_policies:
            for name, probability, magnitude in sub_policy:
                _check_step(name, probability, magnitude)

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        recolor = self.draw(rng)
        images = {field: recolor(sample[field].astype(np.uint8)) for field in IMAGE_FIELDS if field in sample}
        return {**sample, **images}

    def draw(self, rng: np.random.Generator) -> ColorOperations:
        """Draws a sub-policy, and which of its operations take place."""
        sub_policy = self.sub_policies[rng.integers(len(self.sub_policies))]
        return ColorOperations(
            tuple(
                (name, magnitude) for name, probability, magnitude in sub_policy if rng.random() < probability
            )
        )

    @property
    def sub_policies(self) -> tuple:
        """Tuples of `(operation, probability, magnitude)`, the magnitudes scaled."""
        policy = POLICIES[self.policy] if isinstance(self.policy, str) else self.policy
        return tuple(
            tuple(
                (name, probability, magnitude * self.magnitude_scale)
                for name, probability, magnitude in steps
            )
            for steps in policy
        )


def _check_step(name, probability, magnitude):
    if name not in OPERATIONS:
        raise ValueError(f"Unknown operation {name!r}. Operations: {', '.join(OPERATIONS)}.")
    if not 0 <= probability <= 1 or not 0 <= magnitude <= 10:
        raise ValueError(
            "A policy needs probabilities in [0, 1] and magnitudes, scaled, in [0, 10]. "
            f"Received: {(name, probability, magnitude)}"
        )
