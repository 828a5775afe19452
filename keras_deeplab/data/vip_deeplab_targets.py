"""Training targets of ViP-DeepLab, which finds instances in the next frame and depth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_deeplab.data.centers import nonzero_offset, offset_to_centers, rounded_centers
from keras_deeplab.data.targets import find_segments_of_frames, map_of, panoptic_targets
from keras_deeplab.labels import LabelSpace


def vip_targets(
    sample: Mapping,
    label_space: LabelSpace,
    rng: np.random.Generator | None = None,
    *,
    sigma: int = 8,
    small_instance_area: int = 4096,
    small_instance_weight: float | None = 3.0,
) -> dict[str, np.ndarray]:
    """Targets of ViP-DeepLab: those of Panoptic-DeepLab, the way from the next frame back, and depth.

    Args:
        sample: dict with `"panoptic"` and `"next_panoptic"`, integer `[H, W]`,
            `class * label_divisor + instance`, in which an object keeps its id, and `"depth"`, float
            `[H, W]` in metres, 0 where unknown.
        label_space: `LabelSpace` of the maps.
        rng: not used.
        sigma: int. Standard deviation in pixels of the Gaussian around a centre.
        small_instance_area: int. Instances with fewer pixels than this are small.
        small_instance_weight: float. Semantic weight of the pixels of small instances; `None` is 1.

    Returns:
        Dict of numpy arrays: those of `panoptic_targets`, those of `depth_targets`, and
            `"next_center_offset"`: float32 `[H, W, 2]`, (y, x) from the next frame's pixel to its instance's
                centre in this frame; 0 on all that is not an instance of both frames.
            `"next_offset_weight"`: float32 `[H, W]`, 1 where the offset is not 0.

    Raises:
        ValueError: when a field is missing, a map is not an integer `[H, W]` or holds a class that the label
            space does not have, the depth is negative or not finite, or `sigma` is not positive.

    Source: Qiao et al. 2021, "ViP-DeepLab: Learning Visual Perception with Depth-aware Video Panoptic
    Segmentation", section 3.

    Example:
    ```python
    car = 13001
    sample = {
        "panoptic": np.array([[car, 0, 0]]),
        "next_panoptic": np.array([[0, 0, car]]),
        "depth": np.array([[7.5, 8.0, 0.0]]),
    }
    targets = vip_targets(sample, CITYSCAPES)
    targets["next_center_offset"][0, 2]  # [0.0, -2.0]
    targets["depth_weight"]  # [[1.0, 1.0, 0.0]]
    ```
    """
    targets = panoptic_targets(
        sample,
        label_space,
        sigma=sigma,
        small_instance_area=small_instance_area,
        small_instance_weight=small_instance_weight,
    )
    own, following = find_segments_of_frames(sample, "next_panoptic", label_space)
    centers = rounded_centers(own.runs)[own.is_instance]
    offset = offset_to_centers(following.runs, own.runs.ids[own.is_instance], centers)
    return {
        **targets,
        "next_center_offset": offset,
        "next_offset_weight": nonzero_offset(offset),
        **depth_targets(sample),
    }


def depth_targets(sample: Mapping) -> dict[str, np.ndarray]:
    """Targets of a depth head.

    Args:
        sample: dict with `"depth"`, float `[H, W]` in metres, 0 where unknown.

    Returns:
        Dict of `"depth"` float32 `[H, W, 1]` and `"depth_weight"` float32 `[H, W]`, 1 where the depth is
        known.

    Raises:
        ValueError: when there is no depth, or when it is negative or not finite.

    Example:
    ```python
    depth_targets({"depth": np.array([[7.5, 0.0]])})["depth_weight"]  # [[1.0, 0.0]]
    ```
    """
    depth = np.asarray(map_of(sample, "depth"), np.float32)
    if not (np.isfinite(depth) & (depth >= 0)).all():
        raise ValueError(
            f"The depth of sample {sample.get('name', '')!r} must be metres, 0 where unknown. It holds "
            f"values from {depth.min()} to {depth.max()}."
        )
    return {"depth": depth[..., None], "depth_weight": (depth > 0).astype(np.float32)}
