"""Rendered driving scenes with exact panoptic labels: data for trials, tests and pretraining."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from keras_deeplab.data.street.depth import inverse_depth
from keras_deeplab.data.street.motion import FRAMES_PER_SECOND
from keras_deeplab.data.street.photograph import take_picture
from keras_deeplab.data.street.scene import Scene, build_scene, paint_scene
from keras_deeplab.data.street.texture import anchored_texture
from keras_deeplab.data.street.weather import load_weathers
from keras_deeplab.labels import CITYSCAPES, LabelSpace

WEATHERS = tuple(load_weathers())
_MOST_FRAMES = 300


class StreetScenes:
    """Driving scenes as a random-access sequence of samples, rendered when they are asked for.

    Streets with buildings, trees, signs, parked and moving vehicles, pedestrians and cyclists are painted
    from far to near, so that nearer objects hide farther ones. A sample depends on the arguments and its
    index alone: they give the same scene in any order, from any thread and in any process. Other versions of
    NumPy or OpenCV may round grey levels, or even draw random numbers, in another way.

    Args:
        count: int. Number of scenes.
        image_size: `(height, width)` in pixels, each at least 32.
        seed: int >= 0. Another seed gives other scenes.
        frames_per_sequence: int in 1..300. 1 for single pictures. With more, every scene is a video from a
            camera that drives along the street, ten frames a second, and there are `count *
            frames_per_sequence` samples, scene after scene.
        depth: bool. Whether samples have the distance of every pixel.
        weather: str or sequence of str, of `WEATHERS`: `"fair"`, `"sunny"`, `"overcast"`, `"rain"`, `"fog"`,
            `"dusk"`. Of several, every scene draws one. The street is the same in every weather.

    Each sample is `{"image": uint8 [H, W, 3] RGB, "panoptic": int32 [H, W], "name": str}` in the Cityscapes
    label space. The hood of the camera's own car, when in view, is void. In single pictures the instances of
    a class are numbered from 1 without gaps, and each has at least one pixel.

    Frames of a video also have `"sequence"` (str) and `"frame"` (int, from 0). An object keeps its instance
    number in all of them and no other object of the video has it, so that there are gaps.

    With `depth=True` there is `"depth"`: float32 `[H, W]`, metres along the viewing direction, 0 (unknown)
    for sky and void. It is exact: the street is made of planes, and people and plants of upright pictures.

    Raises:
        ValueError: for a malformed argument.

    Example:
    ```python
    scenes = StreetScenes(100, image_size=(257, 513), weather=WEATHERS)
    scenes[0]["image"].shape  # (257, 513, 3)
    videos = StreetScenes(10, frames_per_sequence=20, depth=True)
    len(videos), videos[21]["name"]  # (200, "street_0_000001/000001")
    ```
    """

    label_space: LabelSpace = CITYSCAPES

    def __init__(
        self,
        count: int,
        image_size: tuple[int, int] = (257, 513),
        seed: int = 0,
        frames_per_sequence: int = 1,
        depth: bool = False,
        weather: str | Sequence[str] = "fair",
    ):
        if count < 0:
            raise ValueError(f"`count` must be at least 0. Received: count={count}")
        if np.shape(image_size) != (2,) or min(image_size) < 32:
            raise ValueError(f"`image_size` must be (height, width), each >= 32. Received: {image_size!r}")
        if seed < 0:
            raise ValueError(f"`seed` must be at least 0. Received: seed={seed}")
        if not 1 <= frames_per_sequence <= _MOST_FRAMES:
            raise ValueError(
                f"`frames_per_sequence` must be in 1..{_MOST_FRAMES}. "
                f"Received: frames_per_sequence={frames_per_sequence}"
            )
        weather = (weather,) if isinstance(weather, str) else tuple(weather)
        if not weather or set(weather) - set(WEATHERS):
            raise ValueError(f"`weather` must be from {', '.join(WEATHERS)}. Received: weather={weather}")
        self.count = count
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.seed = seed
        self.frames_per_sequence = frames_per_sequence
        self.depth = depth
        self.weather = weather

    def __len__(self) -> int:
        return self.count * self.frames_per_sequence

    def __iter__(self) -> Iterator[dict]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        frames = f", frames_per_sequence={self.frames_per_sequence}" if self._is_video else ""
        depth = ", depth=True" if self.depth else ""
        weather = f", weather={self.weather}" if self.weather != ("fair",) else ""
        return (
            f"StreetScenes({self.count}, image_size={self.image_size}, seed={self.seed}"
            f"{frames}{depth}{weather})"
        )

    def __getitem__(self, index: int) -> dict:
        number, frame = self._locate(index)
        scene, canvas, painting = self._paint(number, frame)
        panoptic = self._panoptic(canvas, painting)
        sample = {"panoptic": panoptic, "name": self._name(number, frame)}
        inverse = inverse_depth(painting) if self.depth or self._is_video else None
        texture = None
        if self._is_video:
            texture = anchored_texture(inverse, scene.camera, scene.speed * canvas.time)
            sample |= {"sequence": self._sequence(number), "frame": frame}
        rng = np.random.default_rng((self.seed, number, 2, frame))
        sample["image"] = take_picture(canvas, painting, scene.film, rng, texture)
        if self.depth:
            sample["depth"] = self._depth(inverse, panoptic)
        return sample

    @property
    def names(self) -> list[str]:
        """The name of every sample."""
        return [self._name(*divmod(index, self.frames_per_sequence)) for index in range(len(self))]

    @property
    def sequences(self) -> list[str]:
        """The video of every sample. Single pictures do not have this attribute."""
        self._check_video("sequences")
        return [self._sequence(index // self.frames_per_sequence) for index in range(len(self))]

    @property
    def frames(self) -> list[int]:
        """The number of every sample in its video. Single pictures do not have this attribute."""
        self._check_video("frames")
        return [index % self.frames_per_sequence for index in range(len(self))]

    def load_panoptic(self, index: int) -> np.ndarray:
        """The label map of one sample, without its image.

        Args:
            index: int. Position in the sequence.

        Returns:
            int32 `[H, W]`, `class * label_divisor + instance`.
        """
        _, canvas, painting = self._paint(*self._locate(index))
        return self._panoptic(canvas, painting)

    @property
    def _is_video(self):
        return self.frames_per_sequence > 1

    def _check_video(self, attribute):
        if not self._is_video:
            raise AttributeError(f"Single pictures have no `{attribute}`. Pass frames_per_sequence above 1.")

    def _sequence(self, number):
        return f"street_{self.seed}_{number:06d}"

    def _name(self, number, frame):
        return f"{self._sequence(number)}/{frame:06d}" if self._is_video else self._sequence(number)

    def _locate(self, index):
        """Number of the scene and of the frame in it."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"Scene {index} of {len(self)}.")
        return divmod(int(index) % len(self), self.frames_per_sequence)

    def _paint(self, number, frame):
        seconds = self.frames_per_sequence / FRAMES_PER_SECOND if self._is_video else 0.0
        scene = _build(self.seed, number, self.image_size, seconds, self.weather)
        canvas = paint_scene(scene, self.image_size, frame / FRAMES_PER_SECOND)
        return scene, canvas, canvas.paint()

    def _panoptic(self, canvas, painting):
        space, regions = self.label_space, painting.region_numbers()
        classes = [space.ignore_label if name is None else _class_ids()[name] for name in canvas.classes]
        classes, instances = np.array(classes), np.array(canvas.instances)
        if not self._is_video:
            visible = np.zeros(len(classes), bool)
            visible[regions[painting.is_seen()]] = True
            for thing in space.things:
                members = classes == thing
                instances[members] = np.cumsum(visible[members])
        codes = (classes * space.label_divisor + instances).astype(np.int32)
        return np.take(codes[regions], painting.surfaces, mode="clip")

    def _depth(self, inverse, panoptic):
        classes = panoptic // self.label_space.label_divisor
        unknown = (classes == _class_ids()["sky"]) | (classes == self.label_space.ignore_label)
        return np.where(unknown, np.float32(0), 1 / inverse)


def demo_street() -> dict:
    """The scene of the demo and of the documentation, 512 x 1024 pixels: a sample named `demo_street`."""
    return StreetScenes(208, image_size=(512, 1024), seed=7)[207] | {"name": "demo_street"}


@functools.cache
def _class_ids():
    return {name: class_id for class_id, name in enumerate(CITYSCAPES.classes)}


# The frames of a video are mostly asked for one after another.
@functools.lru_cache(maxsize=4)
def _build(seed, number, image_size, seconds, weather) -> Scene:
    rng, extra_rng, weather_rng = (np.random.default_rng((seed, number, stream)) for stream in (0, 1, 3))
    name = weather[weather_rng.integers(len(weather))]
    return build_scene(rng, image_size, load_weathers()[name], seconds, extra_rng)
