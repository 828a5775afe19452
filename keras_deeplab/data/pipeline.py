"""From a reader to batches that `keras.Model.fit` takes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from keras_deeplab.data.targets import panoptic_targets
from keras_deeplab.data.transforms import RandomScaleCrop, ResizeToFit, Transform, check_size
from keras_deeplab.labels import LabelSpace


class Pipeline:
    """Batches of normalised images and targets, read, transformed and batched by Grain in threads.

    In training, samples are shuffled anew in every epoch, scaled, cropped and flipped at random, and
    repeated without end. Otherwise they come once, in order, shrunk to fit and padded. What is drawn
    depends only on `seed`, the epoch and the position in it, not on threads.

    `dataset` is the Grain dataset for `fit`. Iterating over the pipeline itself yields one epoch, and the
    next epoch the next time.

    Args:
        reader: sequence (`len`, `[i]`) of samples `{"image", "panoptic", "name"}`, e.g. `Cityscapes`.
        image_size: `(height, width)` of the batches.
        batch_size: int.
        training: bool. See above.
        scales: `(smallest, largest, step)` of the random scale, `None` for none. Training only.
        flip: bool. Whether to flip at random. Training only.
        seed: int. Seed of the order and of all draws.
        targets: callable `(panoptic, label_space) -> dict of arrays`. `None` yields images only.
        label_space: `LabelSpace` of the samples; that of the reader when `None`.
        transform: callable `(sample, rng) -> sample` in place of the built-in transforms; must return
            images of `image_size`.
        num_threads: int. Threads that read and transform; 0 works in the caller's thread. `None` takes the
            number of processors, at most 16.
        cache: bool. Keeps decoded samples in memory: for small datasets.
        drop_remainder: bool. Leaves out the last batch of an ordered pass when it is not full.

    Yields:
        `(images, targets)`: images float32 `[batch_size, height, width, 3]` in [-1, 1] with padding 0, and
        the targets' dict with a batch axis; or images alone when `targets` is `None`.

    Raises:
        ValueError: when the reader is empty or an argument is malformed; while iterating, for a sample that
            cannot be read or used.

    Example:
    ```python
    train = Pipeline(Cityscapes("/data/cityscapes"), image_size=(513, 1025), batch_size=8)
    model.fit(train.dataset, steps_per_epoch=len(train), epochs=10)
    ```
    """

    def __init__(
        self,
        reader: Sequence,
        image_size: tuple[int, int],
        batch_size: int = 8,
        training: bool = True,
        scales: tuple[float, float, float] | None = (0.5, 2.0, 0.1),
        flip: bool = True,
        seed: int = 0,
        targets: Callable[[np.ndarray, LabelSpace], dict] | None = panoptic_targets,
        label_space: LabelSpace | None = None,
        transform: Transform | None = None,
        num_threads: int | None = None,
        cache: bool = False,
        drop_remainder: bool = False,
    ):
        if len(reader) == 0:
            raise ValueError(f"The reader has no samples: {reader!r}")
        self.reader = reader
        self.image_size = check_size(image_size)
        self.batch_size = _at_least("batch_size", batch_size, 1)
        self.training = training
        self.seed = _at_least("seed", seed, 0)
        self.targets = targets
        self.label_space = _label_space_of(reader, label_space)
        if transform is None:
            void = self.label_space.void
            transform = (
                RandomScaleCrop(self.image_size, void, scales, flip)
                if training
                else ResizeToFit(self.image_size, void)
            )
        self.transform = transform
        if num_threads is None:
            num_threads = min(os.cpu_count() or 1, 16)
        self.num_threads = _at_least("num_threads", num_threads, 0)
        self.drop_remainder = drop_remainder
        self.epoch = 0
        if len(self) == 0:
            raise ValueError(
                f"`drop_remainder` leaves no batch: {len(reader)} samples are fewer than "
                f"`batch_size` {batch_size}."
            )
        self._samples = self._make_samples(_Cache(reader) if cache else reader)
        self.dataset = self._batches(self._samples.repeat() if training else self._samples)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches until every sample has come up; one fewer with `drop_remainder`, if partial."""
        steps = len(self.reader) / self.batch_size
        return math.floor(steps) if self.drop_remainder else math.ceil(steps)

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator:
        samples = self._samples
        if self.training:
            per_epoch = self.steps_per_epoch * self.batch_size
            samples = samples.repeat()[self.epoch * per_epoch : (self.epoch + 1) * per_epoch]
        self.epoch += 1
        return iter(self._batches(samples))

    def __repr__(self) -> str:
        height, width = self.image_size
        return (
            f"Pipeline({self.reader!r}, {'training' if self.training else 'in order'}: "
            f"{self.steps_per_epoch} batches of {self.batch_size} at {height}x{width})"
        )

    def _make_samples(self, reader):
        """A Grain dataset of single samples, ready to be batched."""
        import grain

        samples = grain.MapDataset.source(reader).seed(self.seed)
        if self.training:
            samples = samples.shuffle()
        return samples.random_map(self._prepare)

    def _batches(self, samples):
        import grain

        # Grain's own buffer of 500 samples would not fit into memory.
        options = grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=2 * self.batch_size)
        samples = samples.to_iter_dataset(options)
        return samples.batch(self.batch_size, drop_remainder=self.drop_remainder)

    def _prepare(self, sample, rng):
        name = sample.get("name", "")
        if "image" not in sample:
            raise ValueError(f"Sample {name!r} of {self.reader!r} has no image.")
        if self.targets is not None and "panoptic" not in sample:
            raise ValueError(f"Sample {name!r} has no panoptic map. Pass targets=None for images only.")
        sample = self.transform(sample, rng)
        if sample["image"].shape != (*self.image_size, 3):
            raise ValueError(
                f"`transform` made an image of shape {sample['image'].shape}. "
                f"Expected: {(*self.image_size, 3)}"
            )
        image = np.divide(sample["image"], np.float32(127.5), dtype=np.float32)
        image -= np.float32(1)
        if self.targets is None:
            return image
        try:
            return image, self.targets(sample["panoptic"], self.label_space)
        except ValueError as error:
            raise ValueError(f"Sample {name!r}: {error}") from error


class _Cache:
    """A reader that keeps the samples of another one once they are read."""

    def __init__(self, reader):
        self._reader = reader
        self._samples = {}

    def __len__(self):
        return len(self._reader)

    def __getitem__(self, index):
        if index not in self._samples:
            self._samples[index] = self._reader[index]
        return self._samples[index]


def _label_space_of(reader, label_space):
    label_space = getattr(reader, "label_space", None) if label_space is None else label_space
    if label_space is None:
        raise ValueError("The reader has no `label_space`. Pass `label_space`.")
    return LabelSpace.create(label_space)


def _at_least(name, value, minimum):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(f"`{name}` must be an integer >= {minimum}. Received: {name}={value!r}")
    return int(value)
