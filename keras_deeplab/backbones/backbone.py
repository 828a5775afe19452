"""What all backbones share: variants by name, presets, and the check of their common arguments."""

from __future__ import annotations

import functools
import inspect
import pathlib
import tomllib

import keras_hub

from keras_deeplab.hub import preset_folder, preset_table, registry

OUTPUT_STRIDES = (8, 16, 32)


class OfTheClass:
    """An attribute that a function works out for each class, rather than for its instances."""

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner):
        return self.function(owner)


class Backbone(keras_hub.models.Backbone):
    """A network from normalised images `[b, h, w, c]` to named feature maps.

    Outputs are a dict `{"res1": ..., ..., "res5": ...}` of activated features, `res<n>` at stride `2 ** n`
    or at `output_stride`, whichever is smaller.

    Example:
    ```python
    backbone = Backbone.from_variant("resnet50", output_stride=16, image_shape=(129, 257, 3))
    backbone(keras.ops.ones((1, 129, 257, 3)))["res5"].shape  # (1, 9, 17, 2048)
    ```
    """

    @classmethod
    def from_variant(cls, name: str, **overrides) -> Backbone:
        """Builds a published architecture with fresh weights.

        Args:
            name: str. A name of `Backbone.variants()`.
            **overrides: constructor arguments, e.g. `output_stride=16, image_shape=(513, 1025, 3)`.

        Returns:
            A backbone of the class that the variant names.

        Raises:
            ValueError: if the name is unknown, or belongs to another class than the one called.

        Example:
        ```python
        MobileNetV3Backbone.from_variant("mobilenet_v3_small", output_stride=32)
        ```
        """
        if name not in cls.variants():
            raise ValueError(
                f"{cls.__name__} has no variant {name!r}. Variants: {', '.join(cls.variants())}."
            )
        arguments = {k: v for k, v in _variants()[name].items() if k != "backbone"}
        return backbone_class(name)(**{**arguments, **overrides})

    @classmethod
    def variants(cls) -> list[str]:
        """Names that `from_variant` knows for this class."""
        classes = {c.__name__ for c in [cls, *_subclasses(cls)]}
        return [name for name, arguments in _variants().items() if arguments["backbone"] in classes]

    # What `from_preset` knows by name, the backbones of models included: dict from name to facts.
    presets = OfTheClass(preset_table.loadable_presets)

    @classmethod
    def from_preset(cls, preset: str, load_weights: bool = True, **overrides) -> Backbone:
        """Builds the backbone of a preset.

        Args:
            preset: str or path. A preset's name or folder, or `"hf://organisation/name[@revision]"`.
            load_weights: bool. With `False` the weights are fresh, and a published name needs no files.
            **overrides: constructor arguments to replace, e.g. `image_shape=(513, 1025, 3)`.

        Returns:
            A backbone of the class that the preset names.

        Raises:
            ValueError: if the preset cannot be found, is planned or is of another class.
        """
        entry = preset_table.published_entry(preset, cls)
        if entry is not None and not load_weights:
            return preset_table.build_backbone(entry, **overrides)
        folder = registry.resolve(entry.name if entry else preset)
        return preset_folder.load_backbone(folder, cls, load_weights, overrides)

    def save_to_preset(
        self, preset_dir, max_shard_size: float = 10, weights_dtype: str | None = None
    ) -> None:
        """Writes configuration and weights as a preset folder.

        Args:
            preset_dir: str or path. The folder; it appears complete or not at all.
            max_shard_size: float. Largest weights file in GB, as float32.
            weights_dtype: str. `"float16"` or `"bfloat16"` makes the files half as large: kernels are rounded
                to that type, and loaded in the network's own type again.
        """
        preset_folder.save_backbone(self, preset_dir, max_shard_size, weights_dtype)


def check_backbone_arguments(output_stride: int, image_shape) -> tuple:
    """Validates what every backbone takes; returns `image_shape` as a tuple.

    Raises:
        ValueError: if one of them is malformed.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"`output_stride` must be one of {OUTPUT_STRIDES}. Received: {output_stride!r}")
    image_shape = tuple(image_shape)
    if len(image_shape) != 3 or image_shape[2] is None or any(n is not None and n < 1 for n in image_shape):
        raise ValueError(f"`image_shape` must be (height, width, channels). Received: {image_shape}")
    return image_shape


def check_keyword_arguments(cls, arguments) -> None:
    """Raises a `TypeError` for arguments that a class would pass on to Keras' models, which ignore them.

    Args:
        cls: class. Its constructor's own arguments are what the error offers.
        arguments: dict of those that the constructor does not take itself.
    """
    known = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs")]
    for name in arguments:
        if name not in ("name", "trainable"):
            raise TypeError(f"{cls.__name__} has no argument {name!r}. Arguments: {', '.join(known)}.")


def backbone_class(variant: str) -> type:
    """The class of a variant; a class's own name stands for itself.

    Example:
    ```python
    backbone_class("resnet50_beta")  # ResNetBackbone
    ```
    """
    name = _variants()[variant]["backbone"] if variant in _variants() else variant
    return next(c for c in _subclasses(Backbone) if c.__name__ == name)


@functools.cache
def _variants():
    with open(pathlib.Path(__file__).with_name("variants.toml"), "rb") as file:
        variants = tomllib.load(file)
    for name, arguments in variants.items():
        # A variant comes after the one that it is like.
        variants[name] = {**variants.get(arguments.pop("like", None), {}), **arguments}
    return variants


def _subclasses(cls):
    # Building a functional model makes Keras derive helper classes of the same name in its own modules.
    direct = [c for c in cls.__subclasses__() if c.__module__.startswith("keras_deeplab.")]
    return direct + [c for d in direct for c in _subclasses(d)]
