"""What all segmentation models do the same: presets, prediction, training."""

from __future__ import annotations

import os
from collections.abc import Iterator

import keras
import keras_hub
import numpy as np

from keras_deeplab.backbones.backbone import OfTheClass, check_keyword_arguments
from keras_deeplab.hub import preset_folder, preset_table, registry
from keras_deeplab.models.freezing import FREEZERS
from keras_deeplab.models.inference import segment_images
from keras_deeplab.models.multi_scale import SINGLE_VIEW, average_heads, list_views
from keras_deeplab.models.preprocessor import SegmenterPreprocessor
from keras_deeplab.models.training_data import training_data
from keras_deeplab.results import Segmentation


class Segmenter(keras_hub.models.Task):
    """A network with everything around it that turns an image into labelled maps, and that trains it.

    `model(images)` gives the raw heads for normalised images, `model.predict(images)` maps for pixels in
    0..255, `model.segment(anything)` results at the original size. Subclasses build the heads and name
    their loss.

    Args:
        backbone: `Backbone`.
        decode: function from the backbone's features, the images, and the images' scale to the heads, a
            dict of tensors at the images' size. It calls layers that were made once, so that the network
            can be put together a second time for images of another scale.
        label_space: `LabelSpace`, its name or its dict.
        postprocessor: layer from heads to maps.
        preprocessor: `SegmenterPreprocessor`; made from the backbone's image shape when `None`.
        compile: bool. Compile for training with the default optimizer and loss.

    Example:
    ```python
    model = Segmenter.from_preset("./my_preset")  # the class is the one that the preset names
    model.segment("street.jpg").save("street_panoptic.png")
    ```
    """

    def __init__(
        self, backbone, decode, label_space, postprocessor, preprocessor=None, compile=True, **kwargs
    ):
        check_keyword_arguments(type(self), kwargs)
        size = backbone.image_shape[:2]
        self.backbone = backbone
        self.preprocessor = preprocessor or SegmenterPreprocessor(
            None if None in size else size, size_divisor=backbone.output_stride
        )
        heads = decode(backbone(backbone.input), backbone.input)
        super().__init__(inputs=backbone.input, outputs=heads, compile=False, **kwargs)
        self.input_spec = keras.layers.InputSpec(shape=(None, *backbone.image_shape))
        self.label_space = label_space
        self._decode = _Hidden(decode)
        self.postprocessor = postprocessor
        if compile:
            self.compile()

    @property
    def image_shape(self) -> tuple:
        """`(height, width, channels)` of the input; sides may be `None`."""
        return self.backbone.image_shape

    def default_loss(self):
        """The loss that `compile(loss="auto")` trains with."""
        raise NotImplementedError(f"{type(self).__name__} does not name its loss.")

    def compile(self, optimizer="auto", loss="auto", freeze: str | None = None, **kwargs):
        """Configures training. `kd.recipe(name)` gives these arguments as they were published.

        Args:
            optimizer: Keras optimizer; `"auto"` is Adam with a learning rate of 2.5e-4. One with a method
                `for_model` is asked for the optimizer of this model.
            loss: callable `(targets, heads) -> {name: float [b]}` with an attribute `names`; `"auto"` is
                the published loss of the model. Its terms are summed, and logged by name. One with a method
                `for_model` is asked for the loss of this model.
            freeze: what not to train from now on: `"backbone"`, all `"batch_norm"`, or
                `"backbone_batch_norm"`. Moving moments of what is frozen stay, too. `None` leaves all layers
                as they are.
            **kwargs: as for `keras.Model.compile`.

        Raises:
            ValueError: for an unknown `freeze`, or a recipe of another model.
        """
        if freeze is not None and freeze not in FREEZERS:
            names = ", ".join(map(repr, FREEZERS))
            raise ValueError(f"`freeze` must be one of {names}, or None. Received: freeze={freeze!r}")
        optimizer = keras.optimizers.Adam(2.5e-4) if optimizer == "auto" else _for_model(optimizer, self)
        loss = self.default_loss() if loss == "auto" else _for_model(loss, self)
        if freeze is not None:
            FREEZERS[freeze](self)
        super().compile(optimizer=optimizer, loss=None, **kwargs)
        self.training_loss = loss
        self._loss_trackers = _Hidden([keras.metrics.Mean(name=name) for name in self.training_loss.names])

    @property
    def metrics(self):
        """Keras' metrics and the means of the loss's terms."""
        trackers = getattr(self, "_loss_trackers", None)
        return super().metrics + (trackers.value if trackers else [])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum of the loss's terms, averaged over the batch; called by Keras in every step."""
        terms = self.training_loss(keras.tree.map_structure(keras.ops.convert_to_tensor, y), y_pred)
        for tracker in self._loss_trackers.value:
            if tracker.name in terms:
                tracker.update_state(terms[tracker.name])
        return keras.ops.mean(sum(terms.values())) + sum(self.losses)

    def fit(self, x=None, y=None, batch_size=8, validation_data=None, **kwargs):
        """Trains the model.

        Args:
            x: `data.Pipeline`; or uint8 images `[n, h, w, 3]` with panoptic maps `y`; or any data set of
                `(normalised images, targets)` that Keras takes.
            y: int32 panoptic maps `[n, h, w]` when `x` are images.
            batch_size: int. Used with images alone; a pipeline has its own.
            validation_data: as `x`, or a pair of images and panoptic maps.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            Keras `History`.

        Raises:
            ValueError: for a pipeline of other classes than the model's, or a sample that cannot be used.
        """
        x, steps = training_data(self, x, y, batch_size, training=True)
        if steps is not None:
            # The pipeline shuffles by itself.
            kwargs = {"steps_per_epoch": steps, "shuffle": False, **kwargs}
        if validation_data is not None:
            pair = validation_data if isinstance(validation_data, tuple) else (validation_data, None)
            validation_data, steps = training_data(self, *pair, batch_size, training=False)
            if steps is not None:
                kwargs.setdefault("validation_steps", steps)
        return keras.Model.fit(self, x, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=8, **kwargs):
        """The loss on labelled data, given as for `fit`. Metrics come from `keras_deeplab.evaluate`.

        Returns:
            As `keras.Model.evaluate`: the loss, or a dict with `return_dict=True`.
        """
        # While fitting, Keras evaluates on the data set that `fit` prepared.
        if not kwargs.get("_use_cached_eval_dataset"):
            x, steps = training_data(self, x, y, batch_size, training=False)
            if steps is not None:
                kwargs.setdefault("steps", steps)
        return keras.Model.evaluate(self, x, **kwargs)

    train_on_batch = keras.Model.train_on_batch
    test_on_batch = keras.Model.test_on_batch

    def predict(
        self,
        x,
        batch_size: int = 1,
        verbose="auto",
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
        **kwargs,
    ) -> dict[str, np.ndarray]:
        """Maps of images that have the network's size, in one compiled call per batch.

        Args:
            x: uint8 or float `[b, h, w, 3]` in 0..255.
            batch_size: int. Images per call.
            verbose: as for `keras.Model.predict`.
            scales: floats. Predictions are averaged over images scaled by these factors.
            flip: bool. Average over mirrored images too.
            **kwargs: as for `keras.Model.predict`.

        Returns:
            Dict of arrays, batch first: `panoptic`, `semantic` and `instance` int32 `[b, h, w]`, `score`
            float32 `[b, h, w]`, and what the model adds (see its postprocessor).

        Raises:
            ValueError: if the images do not have the network's shape (`segment` takes any), or the scales
                are not positive numbers.
        """
        shape = tuple(getattr(x, "shape", ()))
        if shape and not _fits(shape, (None, *self.image_shape)):
            raise ValueError(
                f"`predict` takes images of shape {('batch', *self.image_shape)}. Received: {shape}. "
                "`model.segment` takes images of any size."
            )
        return self._predictor_model(scales, flip).predict(
            x, batch_size=batch_size, verbose=verbose, **kwargs
        )

    def predict_on_batch(self, x) -> dict[str, np.ndarray]:
        """As `predict`, for one batch."""
        return self._predictor_model().predict_on_batch(x)

    def segment(
        self,
        x,
        batch_size: int = 1,
        progress: bool = True,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
    ) -> Segmentation | Iterator[Segmentation]:
        """Segments images of any kind and size.

        Args:
            x: path of an image, PIL image or array `[h, w]` / `[h, w, 3]`; or a folder, a list or any
                iterator of these.
            batch_size: int. Images per call.
            progress: bool. Show a progress bar on a terminal.
            scales: as for `predict`.
            flip: as for `predict`.

        Returns:
            A `Segmentation` at the image's own size for one image; otherwise an iterator of them, in
            order and lazily.

        Raises:
            ValueError: if something is not an image; the message names it.

        Example:
        ```python
        for result in model.segment("folder/of/images"):
            result.save(f"{result.name}.png")
        ```
        """
        return segment_images(self, x, batch_size, progress, scales=scales, flip=flip)

    @property
    def postprocessor(self):
        """Layer from the raw heads to maps. Replace it to change thresholds."""
        return self._postprocessor

    @postprocessor.setter
    def postprocessor(self, value):
        self._postprocessor = value
        self._predictors = _Hidden({})

    def _predictor_model(self, scales=(1.0,), flip=False):
        """A model of its own, so that Keras compiles network and post-processing into one function."""
        views = list_views(scales, flip)
        if views not in self._predictors.value:
            images = keras.Input(self.image_shape, name="images")
            pixels = keras.layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name="normalize")(images)
            heads = (
                self(pixels)
                if views == SINGLE_VIEW
                else average_heads(self.backbone, self._decode.value, pixels, views)
            )
            predictor = keras.Model(images, self.postprocessor(heads), name=f"{self.name}_predictor")
            self._predictors.value[views] = predictor
        return self._predictors.value[views]

    # What `from_preset` knows by name: dict from name to facts.
    presets = OfTheClass(preset_table.loadable_presets)

    @classmethod
    def from_preset(cls, preset, load_weights: bool = True, **overrides) -> Segmenter:
        """Builds a model from a preset.

        Args:
            preset: str or path. A preset's name, a folder written by `save_to_preset`, or a repository on
                the Hugging Face Hub, `"hf://organisation/name"` or `"hf://organisation/name@revision"`.
            load_weights: bool. With `False` the weights are fresh, and a published name needs no files.
            **overrides: constructor arguments to replace, and `image_shape` or `output_stride` of the
                backbone.

        Returns:
            A model of the class that the preset names.

        Raises:
            ValueError: if the preset cannot be found, is planned, is damaged, or is of another class than the
                one called.

        Example:
        ```python
        model = Segmenter.from_preset("./my_preset", image_shape=(513, 1025, 3))
        ```
        """
        entry = preset_table.published_entry(preset, cls)
        if entry is not None and not load_weights:
            return preset_table.build_model(entry, **overrides)
        folder = registry.resolve(entry.name if entry else preset)
        return preset_folder.load_task(folder, cls, load_weights, overrides)

    def save_to_preset(
        self, preset_dir: str | os.PathLike, max_shard_size: float = 10, weights_dtype: str | None = None
    ) -> None:
        """Writes the model as a preset folder, without optimizer state.

        Args:
            preset_dir: str or path. The folder; it appears complete or not at all.
            max_shard_size: float. Largest weights file in GB, as float32.
            weights_dtype: str. `"float16"` or `"bfloat16"` makes the files half as large: kernels are rounded
                to that type, and loaded in the network's own type again.

        Raises:
            OSError: when it cannot be written, e.g. on a full disk; a preset that was there stays.
        """
        preset_folder.save_task(self, preset_dir, max_shard_size, weights_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "label_space": self.label_space.to_dict(),
            "postprocessor": keras.saving.serialize_keras_object(self.postprocessor),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("postprocessor"), dict):
            config["postprocessor"] = keras.saving.deserialize_keras_object(config["postprocessor"])
        return super().from_config(config)


class _Hidden:
    """Holds something that Keras must neither track nor save as a part of the model."""

    def __init__(self, value):
        self.value = value


def _for_model(choice, model):
    return choice.for_model(model) if hasattr(choice, "for_model") else choice


def _fits(shape, pattern):
    return len(shape) == len(pattern) and all(p in (None, n) for n, p in zip(shape, pattern, strict=True))
