"""Rendered driving scenes with exact panoptic labels: data for trials, tests and pretraining."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from keras_deeplab.data.street import background, objects
from keras_deeplab.data.street.canvas import Camera, Canvas
from keras_deeplab.labels import CITYSCAPES, LabelSpace

# How rough a class looks: the standard deviation of its brightness relative to the mean.
_ROUGHNESS = {
    "vegetation": 0.14,
    "terrain": 0.1,
    "building": 0.05,
    "road": 0.045,
    "sidewalk": 0.05,
    "wall": 0.06,
}


class StreetScenes:
    """Driving scenes as a random-access sequence of samples, rendered when they are asked for.

    Streets with buildings, trees, signs, parked and moving vehicles, pedestrians and cyclists are painted
    from far to near, so that nearer objects hide farther ones. A sample depends on `seed` and its index
    alone: the same pair gives the same scene on every machine, in any order and from any thread.

    Args:
        count: int. Number of scenes.
        image_size: `(height, width)` in pixels, each at least 32.
        seed: int >= 0. Another seed gives other scenes.

    Each sample is `{"image": uint8 [H, W, 3] RGB, "panoptic": int32 [H, W], "name": str}` in the Cityscapes
    label space. Instances of a class are numbered from 1 without gaps and each has at least one pixel. The
    hood of the camera's own car, when in view, is void.

    Raises:
        ValueError: for a malformed argument.

    Example:
    ```python
    scenes = StreetScenes(100, image_size=(257, 513))
    sample = scenes[0]
    sample["image"].shape  # (257, 513, 3)
    ```
    """

    label_space: LabelSpace = CITYSCAPES

    def __init__(self, count: int, image_size: tuple[int, int] = (257, 513), seed: int = 0):
        if count < 0:
            raise ValueError(f"`count` must be at least 0. Received: count={count}")
        if len(image_size) != 2 or min(image_size) < 32:
            raise ValueError(f"`image_size` must be (height, width), each >= 32. Received: {image_size!r}")
        if seed < 0:
            raise ValueError(f"`seed` must be at least 0. Received: seed={seed}")
        self.count = count
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict]:
        return (self[index] for index in range(self.count))

    def __getitem__(self, index: int) -> dict:
        if not -self.count <= index < self.count:
            raise IndexError(f"Scene {index} of {self.count}.")
        index = int(index) % self.count
        rng = np.random.default_rng((self.seed, index))
        canvas = _paint(rng, self.image_size)
        panoptic = _panoptic(canvas, self.label_space)
        image = _photograph(canvas, panoptic // self.label_space.label_divisor, rng)
        return {"image": image, "panoptic": panoptic, "name": f"street_{self.seed}_{index:06d}"}


def demo_street() -> dict:
    """The scene of the demo and of the documentation, 512 x 1024 pixels: a sample named `demo_street`."""
    return StreetScenes(208, image_size=(512, 1024), seed=7)[207] | {"name": "demo_street"}


def _paint(rng, image_size):
    height, width = image_size
    camera = Camera(
        focal=width * rng.uniform(0.75, 1.15),
        horizon=height * rng.uniform(0.38, 0.5),
        center=width * rng.uniform(0.42, 0.58),
        height=rng.uniform(1.25, 1.7),
        bend=rng.choice([0.0, rng.uniform(-0.002, 0.002)]),
    )
    haze = rng.uniform(185, 225) * np.array([0.97, 1.0, 1.02])
    light = rng.uniform(0.55, 1.05, 2)
    canvas = Canvas(
        image_size, camera, haze, visibility=rng.uniform(120, 700), side_light=(light[0], light[1])
    )
    background.draw_sky(canvas, rng)
    background.draw_skyline(canvas, rng)
    left = -rng.uniform(4.6, 9.5)
    road = (left, max(left + rng.choice([7.0, 9.0, 12.5]), 2.2))
    pavement = rng.uniform(1.8, 3.6)
    is_green = rng.random() < 0.35
    setback = pavement + (rng.uniform(2, 7) if is_green else rng.uniform(0, 0.6))
    background.draw_ground(canvas, rng, road, pavement, is_green)
    placed = (
        _along_the_road(rng, road, pavement, setback) + _on_the_road(rng, road) + _people(rng, road, pavement)
    )
    for _, draw, arguments in sorted(placed, key=lambda item: -item[0]):
        draw(canvas, rng, *arguments)
    if rng.random() < 0.3:
        background.draw_hood(canvas, rng)
    return canvas


def _along_the_road(rng, road, pavement, setback):
    """Houses, barriers, trees, lamps and signs: a list of (distance of the far end, function, arguments)."""
    placed = []
    for side, edge in zip((-1, 1), road, strict=True):
        z = rng.uniform(-4, 12)
        built_up = rng.uniform(0.4, 1.0)
        while z < 160:
            length, x = rng.uniform(7, 22), edge + side * setback
            near, kind = max(z, 2.5), rng.random()
            if z + length > 4 and kind < built_up:
                placed.append((z + length, background.draw_building, (x, near, z + length - near, side)))
            elif z + length > 4:
                barrier = ("wall", "fence")[rng.integers(2)]
                placed.append((z + length, background.draw_barrier, (x, near, z + length - near, barrier)))
                placed += [
                    (at, objects.draw_tree, (x + side * rng.uniform(2, 9), at))
                    for at in rng.uniform(near, z + length, 3)
                ]
            z += length + rng.choice([0.0, 0.0, rng.uniform(2, 9)])
        curb = edge + side * 0.5
        kinds = (
            objects.draw_tree,
            objects.draw_lamp,
            objects.draw_sign,
            objects.draw_traffic_light,
            objects.draw_hedge,
        )
        for draw, most in zip(kinds, (9, 5, 5, 3, 5), strict=True):
            at = 5 + 75 * rng.random(rng.integers(0, most + 1)) ** 1.6
            x = edge + side * setback * 0.85 if draw is objects.draw_hedge else curb
            placed += [(z, draw, (x + side * rng.uniform(0, 0.5), z)) for z in at]
    return placed


def _on_the_road(rng, road):
    """Parked and moving vehicles."""
    placed = []
    x0, x1 = road
    for x in (x0 + 1.1, x1 - 1.1):
        z = rng.uniform(4, 25)
        while z < 70 and x1 - x0 > 6 and rng.random() < 0.75:
            draw = objects.draw_truck if rng.random() < 0.06 else objects.draw_car
            placed.append((z, draw, (x + rng.uniform(-0.15, 0.15), z)))
            z += rng.choice([rng.uniform(5.5, 7.5), rng.uniform(9, 30)]) + (
                5 if draw is objects.draw_truck else 0
            )
    lanes = np.linspace(x0, x1, max(2, round((x1 - x0) / 3.3)) + 1)
    for x in (lanes[:-1] + lanes[1:]) / 2:
        z = 6 + 60 * rng.random() ** 1.3
        while z < 120 and rng.random() < 0.55:
            draw, room, extra = _MOVING[rng.choice(len(_MOVING), p=_MOVING_ODDS)]
            placed.append((z, draw, (x + rng.uniform(-0.3, 0.3), z, *extra)))
            z += room + rng.uniform(6, 40)
    if rng.random() < 0.18:
        z = rng.uniform(12, 45)
        placed.append((z, objects.draw_crossing_car, (rng.uniform(x0 - 3, x1 + 3), z)))
    return placed


_MOVING = (
    (objects.draw_car, 5, ()),
    (objects.draw_truck, 11, ()),
    (objects.draw_coach, 13, ("bus",)),
    (objects.draw_coach, 27, ("train",)),
    (objects.draw_two_wheeler, 3, ("bicycle", True)),
    (objects.draw_two_wheeler, 3, ("motorcycle", True)),
)
_MOVING_ODDS = (0.66, 0.09, 0.06, 0.03, 0.1, 0.06)


def _people(rng, road, pavement):
    """Pedestrians in small groups, and parked two-wheelers."""
    placed = []
    for side, edge in zip((-1, 1), road, strict=True):
        for _ in range(rng.integers(0, 5)):
            z, x = 4 + 40 * rng.random() ** 1.5, edge + side * rng.uniform(0.3, pavement)
            for _ in range(rng.integers(1, 4)):
                x, z = x + rng.normal(0, 0.6), max(z + rng.normal(0, 0.7), 3.0)
                placed.append((z, objects.draw_person, (x, z)))
        if rng.random() < 0.4:
            z, kind = rng.uniform(4, 25), ("bicycle", "motorcycle")[int(rng.random() < 0.3)]
            at = z + rng.uniform(0.3, 0.9) * np.arange(rng.integers(1, 5))
            placed += [(a, objects.draw_two_wheeler, (edge + side * 0.6, a, kind)) for a in at]
    if rng.random() < 0.4:
        z = 4.5 + 18 * rng.random()
        kind = ("bicycle", "motorcycle")[int(rng.random() < 0.3)]
        placed.append((z, objects.draw_two_wheeler, (rng.uniform(*road), z, kind, True)))
    if rng.random() < 0.4:
        z = 5 + 30 * rng.random()
        at = rng.uniform(*road, rng.integers(1, 4))
        placed += [(z + 0.01 * k, objects.draw_person, (x, z)) for k, x in enumerate(at)]
    return placed


def _panoptic(canvas, label_space):
    """Numbers the visible objects of every thing class from 1 and codes the map."""
    visible = np.bincount(canvas.regions.ravel(), minlength=len(canvas.classes)) > 0
    codes = np.full(len(canvas.classes), label_space.void, np.int32)
    seen = {}
    for region, name in enumerate(canvas.classes):
        if name is None or not visible[region]:
            continue
        class_id = label_space.classes.index(name)
        seen[class_id] = seen.get(class_id, 0) + (class_id in label_space.things)
        codes[region] = class_id * label_space.label_divisor + seen[class_id]
    return codes[canvas.regions]


def _photograph(canvas, classes, rng):
    """Surface texture, the light of the day and the camera's blur and noise."""
    height, width = classes.shape
    roughness = np.full(256, 0.02, np.float32)
    for name, amount in _ROUGHNESS.items():
        roughness[CITYSCAPES.classes.index(name)] = amount
    noise = rng.standard_normal((height, width), np.float32)
    patches = rng.standard_normal((height // 8 + 1, width // 8 + 1), np.float32)
    texture = 0.6 * noise + 0.6 * cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR)
    tint = rng.uniform(0.35, 1.15) * rng.uniform([0.9, 0.97, 0.86], [1.12, 1.03, 1.1]).astype(np.float32)
    gain = (1 + texture * roughness[classes])[..., None] * tint
    image = cv2.GaussianBlur(canvas.image * gain, (3, 3), rng.uniform(0.3, 0.8))
    image += rng.uniform(0, 4) * noise[::-1, ::-1, None]
    return np.clip(image, 0, 255, out=image).astype(np.uint8)
