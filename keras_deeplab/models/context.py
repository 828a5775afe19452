"""What the decoders of all DeepLab models take from the backbone."""

from __future__ import annotations

from keras_deeplab.backbones import Backbone
from keras_deeplab.ops.resize import scale_dimension

# Rates that look at the same context whatever the resolution of the last feature map.
ATROUS_RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36)}


def context_options(backbone: Backbone, atrous_rates, train_crop_size) -> dict:
    """Arguments of an ASPP on top of a backbone.

    Args:
        backbone: `Backbone`.
        atrous_rates: three int, `()` for a projection alone, or `None`: a projection on top of axial
            attention, which has seen the whole image, else by the backbone's output stride.
        train_crop_size: `(height, width)` of the images that the pooling window covers, or `None`.

    Returns:
        Dict with `atrous_rates` and `pooling_window`.

    Raises:
        ValueError: if the backbone is not one of this package, or there are not three rates.

    Example:
    ```python
    context_options(
        backbone, None, (1025, 2049)
    )  # {"atrous_rates": (6, 12, 18), "pooling_window": (65, 129)}
    ```
    """
    if not isinstance(backbone, Backbone):
        raise ValueError(f"`backbone` must be a `Backbone` of this package. Received: {backbone!r}")
    if atrous_rates is None:
        is_axial = getattr(backbone, "axial_from_stride", None) is not None
        atrous_rates = () if is_axial else ATROUS_RATES[backbone.output_stride]
    if len(atrous_rates) not in (0, 3):
        raise ValueError(f"`atrous_rates` must hold three rates, or none. Received: {atrous_rates}")
    window = None
    if train_crop_size is not None:
        window = tuple(scale_dimension(n, 1 / backbone.output_stride) for n in train_crop_size)
    return {"atrous_rates": tuple(atrous_rates), "pooling_window": window}


def normalization_options(backbone: Backbone, batch_norm_epsilon: float | None) -> dict:
    """Batch normalisation and precision of a backbone, for the layers on top of it.

    Args:
        backbone: `Backbone`.
        batch_norm_epsilon: float, or `None` for the backbone's.

    Returns:
        Dict with `batch_norm_momentum`, `batch_norm_epsilon` and `dtype`.
    """
    return {
        "batch_norm_momentum": backbone.batch_norm_momentum,
        "batch_norm_epsilon": batch_norm_epsilon or backbone.batch_norm_epsilon,
        "dtype": backbone.dtype_policy,
    }
