"""From a reader to batches that `keras.Model.fit` takes."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from keras_deeplab.data.autoaugment import AutoAugment
from keras_deeplab.data.copy_paste import PanopticCopyPaste
from keras_deeplab.data.resize_rules import check_size
from keras_deeplab.data.sample_loader import RandomPaste, SampleLoader
from keras_deeplab.data.targets import panoptic_targets
from keras_deeplab.data.transforms import RandomScaleCrop, ResizeToFit, Transform
from keras_deeplab.labels import LabelSpace
from keras_deeplab.memory import keep_memory


class Pipeline:
    """Batches of normalised images and targets, read and transformed by Grain in threads or processes.

    In training, samples are shuffled anew in every epoch, scaled, cropped and flipped at random, and
    repeated without end. Otherwise they come once, in order, shrunk to fit and padded. What is drawn
    depends only on `seed`, the epoch and the position in it, not on threads, processes or shards.

    `dataset` is the Grain dataset for `fit`, and `dataset_from(step)` the same from a later batch on.
    Iterating over the pipeline itself yields one epoch, and the next epoch the next time. All their
    iterators have `get_state()` and `set_state(state)`, to go on in the middle of an epoch.

    Args:
        reader: sequence (`len`, `[i]`) of samples `{"image", "panoptic", "name"}`, e.g. `Cityscapes`.
        image_size: `(height, width)` of the batches.
        batch_size: int.
        training: bool. See above.
        scales: `(smallest, largest, step)` of the random scale, `None` for none. Training only.
        flip: bool. Whether to flip at random. Training only.
        resize: `(min_size, max_size, factor)` of `resize_to_range`, applied before everything else.
        autoaugment: `AutoAugment` of the colours, `None` for none. Training only.
        copy_paste: `PanopticCopyPaste` of segments of another sample, which is drawn at random and scaled to
            half the `scales`; `None` for none. Training only.
        seed: int. Seed of the order and of all draws.
        targets: callable `(sample, label_space, rng) -> dict of arrays`, as `panoptic_targets`; `rng` is
            `None` when not training. `None` yields images only.
        label_space: `LabelSpace` of the samples; that of the reader when `None`.
        transform: callable `(sample, rng) -> sample` in place of the built-in transforms, whose arguments
            are then not used; must return images of `image_size`.
        num_threads: int. Threads that read and transform; 0 works in the caller's thread. `None` takes the
            number of processors, at most 16. With `num_workers` these are the threads of each process, and
            `None` shares the processors among them.
        num_workers: int. Processes that read and transform, for readers or transforms in pure Python; the
            built-in ones run in parallel in threads. The main module of a script must be guarded by
            `if __name__ == "__main__"`, as for any process that Python spawns.
        shard: `(index, count)`. Reads the part `index` of `count` equal ones, for training on several hosts:
            together they read each sample once per epoch. `batch_size` is that of this host.
        on_error: `"raise"`, or `"skip"` to leave out samples that cannot be read or used, with a warning in
            the log of `keras_deeplab` that names the file.
        cache: bool. Keeps decoded samples in memory: for small datasets.
        drop_remainder: bool. Leaves out the last batch of an ordered pass when it is not full.

    Yields:
        `(images, targets)`: images float32 `[batch_size, height, width, 3]` in [-1, 1] with padding 0, and
        the targets' dict with a batch axis; or images alone when `targets` is `None`. Samples with a
        neighbouring frame have 6 channels, with that frame behind; in training, a `previous_center_heatmap`
        among the targets becomes the channel behind that.

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
        resize: tuple | None = None,
        autoaugment: AutoAugment | None = None,
        copy_paste: PanopticCopyPaste | None = None,
        seed: int = 0,
        targets: Callable[[dict, LabelSpace, np.random.Generator | None], dict] | None = panoptic_targets,
        label_space: LabelSpace | None = None,
        transform: Transform | None = None,
        num_threads: int | None = None,
        num_workers: int = 0,
        shard: tuple[int, int] = (0, 1),
        on_error: str = "raise",
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
        crop = functools.partial(
            RandomScaleCrop, self.image_size, flip=flip, resize=resize, autoaugment=autoaugment
        )
        void = self.label_space.void
        fitting = crop(void, scales) if training else ResizeToFit(self.image_size, void, resize)
        self.transform = fitting if transform is None else transform
        paste = None
        if copy_paste is not None and training:
            paste = RandomPaste(copy_paste, crop(copy_paste.padding, _half(scales)))
        self.num_workers = _at_least("num_workers", num_workers, 0)
        if num_threads is None:
            num_threads = max(min(os.cpu_count() or 1, 16) // max(self.num_workers, 1), 1)
        self.num_threads = _at_least("num_threads", num_threads, 0)
        self.shard = _check_shard(shard, len(reader))
        self.drop_remainder = drop_remainder
        self.epoch = 0
        if len(self) == 0:
            raise ValueError(
                f"`drop_remainder` leaves no batch: {self.num_samples} samples are fewer than "
                f"`batch_size` {batch_size}."
            )
        self.loader = SampleLoader(
            _Cache(reader) if cache else reader,
            self.image_size, self.transform, targets, self.label_space, paste, training, on_error,
        )  # fmt: skip
        self._samples = self._make_samples()
        self.dataset = self._batches(self._samples)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches until every sample has come up; one fewer with `drop_remainder`, if partial."""
        steps = self.num_samples / self.batch_size
        return math.floor(steps) if self.drop_remainder else math.ceil(steps)

    def dataset_from(self, step: int):
        """`dataset` without its first batches, none of which is read: for going on with a training run.

        Args:
            step: int. Number of batches to leave out. Skipped samples (`on_error="skip"`) do not count.

        Returns:
            Grain dataset.
        """
        return self._batches(self._samples[_at_least("step", step, 0) * self.batch_size :])

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator:
        samples = self._samples
        if self.training:
            per_epoch = self.steps_per_epoch * self.batch_size
            samples = samples[self.epoch * per_epoch : (self.epoch + 1) * per_epoch]
        self.epoch += 1
        return iter(self._batches(samples))

    def __repr__(self) -> str:
        height, width = self.image_size
        return (
            f"Pipeline({self.reader!r}, {'training' if self.training else 'in order'}: "
            f"{self.steps_per_epoch} batches of {self.batch_size} at {height}x{width})"
        )

    @property
    def num_samples(self):
        """Samples of this shard per epoch. All hosts must train as many steps; an ordered pass ends."""
        index, count = self.shard
        return math.ceil((len(self.reader) - (0 if self.training else index)) / count)

    def _make_samples(self):
        """A Grain dataset of all single samples of this shard, ready to be batched."""
        import grain

        samples = grain.MapDataset.range(len(self.reader)).seed(self.seed)
        if self.training:
            samples = samples.shuffle()
        samples = samples.random_map(self.loader)
        if self.training:
            samples = samples.repeat()
        index, count = self.shard
        return samples[index::count] if count > 1 else samples

    def _batches(self, samples):
        import grain

        # Grain's own buffer of 500 samples would not fit into memory.
        buffer = 2 * self.batch_size
        samples = samples.to_iter_dataset(
            grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=buffer), allow_nones=True
        )
        if self.num_workers:
            _mark_flags_as_parsed()
            buffer = math.ceil(buffer / self.num_workers)
            options = grain.MultiprocessingOptions(self.num_workers, buffer)
            samples = samples.mp_prefetch(options, worker_init_fn=_start_worker)
        # Samples are left out behind the processes, which take turns: their number changes nothing.
        samples = samples.filter(_IsUsable(self.reader, self.num_samples))
        return samples.batch(self.batch_size, drop_remainder=self.drop_remainder)


def _start_worker(index, count):
    keep_memory()


def _mark_flags_as_parsed():
    """Grain looks at absl's flags before it starts processes, and only absl's own programs parse them."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


class _IsUsable:
    """Whether a sample was not skipped. A reader without any usable sample would be read for ever."""

    def __init__(self, reader, num_samples):
        self._reader = repr(reader)
        self._limit = num_samples
        self._skipped = 0

    def __call__(self, sample):
        self._skipped = 0 if sample is not None else self._skipped + 1
        if self._skipped >= self._limit:
            raise ValueError(f"None of the {self._limit} samples of {self._reader} can be used; see the log.")
        return sample is not None


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


def _half(scales):
    return tuple(scale / 2 for scale in scales or (1, 1, 0))


def _check_shard(shard, num_samples):
    index, count = shard if isinstance(shard, (tuple, list)) and len(shard) == 2 else (None, None)
    if not all(isinstance(n, (int, np.integer)) for n in (index, count)) or not 0 <= index < count:
        raise ValueError(f"`shard` must be (index, count) with 0 <= index < count. Received: shard={shard!r}")
    if count > num_samples:
        raise ValueError(f"{num_samples} samples cannot be shared by {count} shards.")
    return int(index), int(count)


def _at_least(name, value, minimum):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(f"`{name}` must be an integer >= {minimum}. Received: {name}={value!r}")
    return int(value)
