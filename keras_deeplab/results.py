"""What a model found in one image."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
from PIL import Image

from keras_deeplab import visualization
from keras_deeplab.data import writers
from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import as_label_map, describe_segments, number_segments


class Segmentation:
    """The label maps of one image, at its original size.

    Args:
        panoptic: integer array `[H, W]`, `class * label_divisor + instance`. `None` for semantic
            segmentation.
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.
        semantic: integer array `[H, W]`, classes. Taken from `panoptic` when `None`.
        instance: integer array `[H, W]`, instance numbers over all classes, 0 for none. Taken from
            `panoptic` when `None`.
        score: float array `[H, W]`, the confidence of each pixel.
        image: uint8 array `[H, W, 3]` (RGB) or PIL image.
        name: str. Name of the image.
        depth: float array `[H, W]` in metres.

    Raises:
        ValueError: when a map is missing, has another size than the first or holds something else than
            labels.

    Example:
    ```python
    result = Segmentation(np.array([[7_000, 13_001]]), "cityscapes")
    result.segments[0]["class"]  # "traffic sign"
    result.plot().save("picture.png")
    ```
    """

    def __init__(
        self,
        panoptic: np.ndarray | None,
        label_space: LabelSpace | dict | str,
        semantic: np.ndarray | None = None,
        instance: np.ndarray | None = None,
        score: np.ndarray | None = None,
        image: np.ndarray | Image.Image | None = None,
        name: str | None = None,
        depth: np.ndarray | None = None,
    ):
        if panoptic is None and semantic is None:
            raise ValueError("A segmentation needs a `panoptic` or a `semantic` map.")
        self.label_space = LabelSpace.create(label_space)
        self.name = name
        self.panoptic = None if panoptic is None else as_label_map("panoptic", panoptic)
        self._semantic = None if semantic is None else as_label_map("semantic", semantic)
        self._instance = None if instance is None else as_label_map("instance", instance)
        self.score = None if score is None else np.asarray(score)
        self.depth = None if depth is None else np.asarray(depth)
        self.image = None if image is None else np.asarray(image)

        maps = {"panoptic": self.panoptic, "semantic": self._semantic, "instance": self._instance}
        maps |= {"score": self.score, "depth": self.depth}
        for key, value in maps.items():
            if value is not None and value.shape != self.shape:
                raise ValueError(f"`{key}` must have the shape {self.shape}. Received: {value.shape}")
        if self.image is not None and (self.image.shape != (*self.shape, 3) or self.image.dtype != np.uint8):
            raise ValueError(
                f"`image` must be uint8 of shape {(*self.shape, 3)}. "
                f"Received: {self.image.dtype} of shape {self.image.shape}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` in pixels."""
        return (self._semantic if self.panoptic is None else self.panoptic).shape

    @functools.cached_property
    def semantic(self) -> np.ndarray:
        """Integer array `[H, W]`, the class of each pixel, `ignore_label` where void."""
        if self._semantic is not None:
            return self._semantic
        return self.panoptic // self.label_space.label_divisor

    @functools.cached_property
    def instance(self) -> np.ndarray:
        """Integer array `[H, W]`, the number of each pixel's instance over all classes, 0 for none."""
        if self._instance is not None:
            return self._instance
        divisor = self.label_space.label_divisor
        ids = sorted(s["id"] for s in self.segments if s["isthing"] and s["id"] % divisor)
        return number_segments(self._map_of_segments, ids).astype(np.int32)

    @functools.cached_property
    def segments(self) -> list[dict]:
        """The segments, largest first, without void.

        Each is a dict of plain values: `"id"` (its value in `panoptic`), `"class_id"`, `"category_id"` (the
        dataset's own id), `"class"` (its name), `"isthing"`, `"area"` (pixels), `"bbox"`
        (`[x, y, width, height]` in pixels) and `"score"` (mean over the segment, `None` without scores). A
        semantic segmentation has one per class.
        """
        segments = describe_segments(self._map_of_segments, self.label_space, self.score)
        return sorted(segments, key=lambda segment: (-segment["area"], segment["id"]))

    @functools.cached_property
    def _map_of_segments(self):
        if self.panoptic is not None:
            return self.panoptic
        return self.semantic.astype(np.int64) * self.label_space.label_divisor

    def plot(self, alpha: float = 0.55, outlines: bool = True, legend: bool = True) -> Image.Image:
        """A picture of the segments, over the image where there is one.

        Args:
            alpha: float in 0..1. How much of the colours shows over the image.
            outlines: bool. Whether to draw a line around every segment.
            legend: bool. Whether to name the classes, largest first, at the right.

        Returns:
            PIL image, RGB.
        """
        picture = visualization.overlay(self._map_of_segments, self.label_space, self.image, alpha, outlines)
        if legend:
            classes = list(dict.fromkeys(segment["class_id"] for segment in self.segments))
            picture = visualization.add_legend(picture, classes, self.label_space)
        return Image.fromarray(picture)

    def save(self, path: str | os.PathLike) -> None:
        """Saves the picture that `plot` makes; the ending of `path` gives the format."""
        path = os.fspath(path)
        endings = Image.registered_extensions()
        image_format = endings.get(os.path.splitext(path)[1].lower())
        if image_format is None:
            raise ValueError(f"The picture's file must end in .png or .jpg. Received: {path!r}")
        writers.write_file(path, writers.encode_image(self.plot(), image_format))

    def to_dict(self) -> dict:
        """The segments as plain values, ready for JSON."""
        height, width = self.shape
        return {
            "name": self.name,
            "height": height,
            "width": width,
            "label_space": self.label_space.name,
            "label_divisor": self.label_space.label_divisor,
            "segments": self.segments,
        }

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)

    def save_json(self, path: str | os.PathLike) -> None:
        """Saves `to_json`."""
        writers.write_file(path, self.to_json(indent=2).encode())

    def to_coco(self) -> tuple[np.ndarray, dict]:
        """The segments in the COCO panoptic format, with category ids.

        Returns:
            The ids as uint8 `[H, W, 3]` (`id = R + 256 * G + 65536 * B`, numbered from 1, void 0), and the
            annotation: a dict with `"image_id"`, `"file_name"` and `"segments_info"`.
        """
        picture, segments_info = writers.encode_coco(self._map_of_segments, self.label_space)
        name = self.name or "image"
        return picture, {
            "image_id": writers.image_id(name),
            "file_name": f"{writers.image_stem(name)}.png",
            "segments_info": segments_info,
        }

    def save_cityscapes(self, folder: str | os.PathLike) -> None:
        """Adds the image to a folder of predictions that the official Cityscapes scripts evaluate.

        The layout is that of `data.writers.PredictionWriter`, which is faster for many images.

        Raises:
            ValueError: when the segmentation has no name.
        """
        with writers.PredictionWriter(folder, self.label_space) as writer:
            writer.write(self)

    def to_supervision(self):
        """The segments as `supervision.Detections`, one mask each, largest first.

        Returns:
            `supervision.Detections` with `xyxy`, `mask`, `class_id`, `confidence` (when there are scores),
            and `"class_name"`, `"segment_id"` and `"isthing"` in `data`.

        Raises:
            ImportError: when supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError(
                "`to_supervision` needs the package supervision: pip install supervision"
            ) from error
        segments = self.segments
        ids = np.array([segment["id"] for segment in segments], np.int64)
        boxes = np.array([segment["bbox"] for segment in segments], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return supervision.Detections(
            xyxy=boxes,
            mask=self._map_of_segments == ids[:, None, None],
            class_id=np.array([segment["class_id"] for segment in segments], int),
            confidence=None if self.score is None else np.array([segment["score"] for segment in segments]),
            data={
                "class_name": np.array([segment["class"] for segment in segments]),
                "segment_id": ids,
                "isthing": np.array([segment["isthing"] for segment in segments], bool),
            },
        )

    def __repr__(self) -> str:
        height, width = self.shape
        name = f"{self.name!r}, " if self.name else ""
        return (
            f"Segmentation({name}{height} x {width}, {self.label_space.name}, {len(self.segments)} segments)"
        )

    def _repr_png_(self) -> bytes:
        return writers.encode_image(self.plot(), "PNG")
