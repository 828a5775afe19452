import functools
import itertools
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.data.autoaugment import AutoAugment
from keras_deeplab.data.copy_paste import PanopticCopyPaste
from keras_deeplab.data.images import ImageError, read_image
from keras_deeplab.data.motion_deeplab_targets import motion_targets
from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.data.targets import panoptic_targets, semantic_targets
from keras_deeplab.labels import CITYSCAPES


def reader_of(count, height=24, width=32):
    """Images whose pixels all hold their index, with a car each."""
    images = np.repeat(np.arange(count, dtype=np.uint8), height * width * 3).reshape(count, height, width, 3)
    maps = np.zeros((count, height, width), np.int32)
    maps[:, 4:12, 8:20] = 13001
    return ArrayReader(images, maps, CITYSCAPES)


def indices(images):
    """The image indices of a batch of `reader_of` images, from their brightest pixel but the padding."""
    values = np.rint((images + 1) * 127.5)
    return [int(np.unique(v[v < 127])[0]) for v in values]


def plain(reader, **options):
    """A training pipeline that only shuffles."""
    return Pipeline(reader, (24, 32), scales=None, flip=False, **options)


def test_images_are_normalised_and_padded_with_zero():
    pipeline = Pipeline(
        ArrayReader([np.full((2, 3, 3), 255)], None, CITYSCAPES), (4, 3), training=False, targets=None
    )
    (images,) = pipeline
    np.testing.assert_array_equal(images[0, :2], np.ones((2, 3, 3)))
    np.testing.assert_array_equal(images[0, 2:], np.zeros((2, 3, 3)))
    assert images.dtype == np.float32


def test_targets_are_those_of_the_padded_map():
    reader = reader_of(1)
    ((_, targets),) = Pipeline(reader, (33, 33), training=False)
    padded = np.full((33, 33), CITYSCAPES.void)
    padded[:24, :32] = reader[0]["panoptic"]
    for name, expected in panoptic_targets(padded, CITYSCAPES).items():
        np.testing.assert_array_equal(targets[name][0], expected, err_msg=name)


def test_an_ordered_pass_keeps_order_and_the_last_batch():
    pipeline = Pipeline(reader_of(5), (24, 32), batch_size=2, training=False)
    assert [indices(images) for images, _ in pipeline] == [[0, 1], [2, 3], [4]]
    assert len(pipeline) == pipeline.steps_per_epoch == 3


def test_the_last_batch_can_be_dropped():
    pipeline = Pipeline(reader_of(5), (24, 32), batch_size=2, training=False, drop_remainder=True)
    assert [len(images) for images, _ in pipeline] == [2, 2]
    assert len(pipeline) == 2


def test_an_ordered_pass_can_be_repeated():
    pipeline = Pipeline(reader_of(3), (24, 32), batch_size=2, training=False)
    first, second = ([indices(images) for images, _ in pipeline] for _ in range(2))
    assert first == second == [[0, 1], [2]]


def test_every_sample_comes_once_per_epoch():
    pipeline = plain(reader_of(6), batch_size=2)
    for _ in range(3):
        batches = [indices(images) for images, _ in pipeline]
        assert sorted(itertools.chain(*batches)) == list(range(6))


def test_epochs_are_shuffled_anew():
    pipeline = plain(reader_of(12), batch_size=12)
    orders = {tuple(indices(images)) for _ in range(3) for images, _ in pipeline}
    assert len(orders) == 3


def test_the_dataset_is_all_epochs_one_after_another():
    pipeline = Pipeline(reader_of(4), (17, 17), batch_size=2)
    stream = itertools.islice(pipeline.dataset, 6)
    epochs = itertools.chain.from_iterable(pipeline for _ in range(3))
    for (images, targets), (expected_images, expected_targets) in zip(stream, epochs, strict=True):
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(targets["semantic"], expected_targets["semantic"])


def test_training_batches_are_full_even_with_few_samples():
    pipeline = plain(reader_of(3), batch_size=8)
    assert [len(images) for images, _ in pipeline] == [8]
    assert len(pipeline) == 1


@pytest.mark.parametrize("num_threads", [0, 1, 7])
def test_threads_do_not_change_the_draws(num_threads):
    expected = next(iter(Pipeline(reader_of(5), (17, 17), batch_size=5, num_threads=2)))[0]
    images = next(iter(Pipeline(reader_of(5), (17, 17), batch_size=5, num_threads=num_threads)))[0]
    np.testing.assert_array_equal(images, expected)


def test_seeds_change_the_draws():
    batches = [next(iter(Pipeline(reader_of(9), (17, 17), batch_size=9, seed=seed)))[0] for seed in (0, 1, 0)]
    np.testing.assert_array_equal(batches[0], batches[2])
    assert (batches[0] != batches[1]).any()


def test_a_sample_is_transformed_differently_in_each_epoch():
    noise = np.random.default_rng(0).integers(0, 256, (1, 60, 60, 3))
    pipeline = Pipeline(ArrayReader(noise, None, CITYSCAPES), (17, 17), batch_size=1, targets=None)
    assert len({images.tobytes() for _ in range(4) for images in pipeline}) == 4


@pytest.mark.parametrize("num_workers", [0, 2])
def test_iterators_resume_where_they_stopped(num_workers):
    def options():
        return {"image_size": (17, 17), "batch_size": 2, "num_workers": num_workers}

    iterator = iter(Pipeline(reader_of(5), **options()).dataset)
    next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = next(iterator)[0]
    resumed = iter(Pipeline(reader_of(5), **options()).dataset)
    resumed.set_state(state)
    np.testing.assert_array_equal(next(resumed)[0], expected)


def test_datasets_start_at_any_batch():
    pipeline = Pipeline(reader_of(5), (17, 17), batch_size=2)
    expected = list(itertools.islice(pipeline.dataset, 5))[3][0]
    np.testing.assert_array_equal(next(iter(pipeline.dataset_from(3)))[0], expected)


def test_processes_do_not_change_the_batches():
    options = {"image_size": (17, 17), "batch_size": 2, "seed": 3, "on_error": "skip"}
    expected = itertools.islice(Pipeline(PartlyBroken(7), **options).dataset, 5)
    dataset = Pipeline(PartlyBroken(7), num_workers=2, **options).dataset
    for (images, targets), (expected_images, expected_targets) in zip(dataset, expected, strict=False):
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(targets["center_offset"], expected_targets["center_offset"])


def test_errors_in_processes_name_the_sample():
    pipeline = Pipeline(PartlyBroken(3), (17, 17), batch_size=1, training=False, num_workers=1)
    with pytest.raises(ValueError, match="frame_2 is truncated"):
        list(pipeline)


@pytest.mark.parametrize("count", [2, 3])
def test_shards_share_the_samples(count):
    passes = [Pipeline(reader_of(7), (24, 32), 2, training=False, shard=(i, count)) for i in range(count)]
    seen = [[index for images, _ in shard for index in indices(images)] for shard in passes]
    assert seen == [list(range(i, 7, count)) for i in range(count)]
    assert [len(shard) for shard in passes] == [len(list(shard)) for shard in passes]


def test_shards_of_an_epoch_have_equal_steps_and_all_samples():
    shards = [plain(reader_of(6), batch_size=1, shard=(i, 2), seed=5) for i in range(2)]
    whole = [indices(images)[0] for images, _ in plain(reader_of(6), batch_size=1, seed=5)]
    parts = [[indices(images)[0] for images, _ in shard] for shard in shards]
    assert parts == [whole[0::2], whole[1::2]]
    assert sorted(parts[0] + parts[1]) == list(range(6))
    assert len({len(plain(reader_of(5), batch_size=1, shard=(i, 2))) for i in range(2)}) == 1


class PartlyBroken:
    """A reader whose sample 2 cannot be read."""

    label_space = CITYSCAPES

    def __init__(self, count, broken=(2,)):
        self.reader, self.broken = reader_of(count), broken

    def __len__(self):
        return len(self.reader)

    def __getitem__(self, index):
        if index in self.broken:
            raise ImageError(f"frame_{index} is truncated")
        return self.reader[index]


def test_broken_samples_are_skipped_and_named(caplog):
    pipeline = Pipeline(PartlyBroken(5), (24, 32), batch_size=3, training=False, on_error="skip")
    assert [indices(images) for images, _ in pipeline] == [[0, 1, 3], [4]]
    assert [record.message for record in caplog.records] == ["Skipped sample 2: frame_2 is truncated"]


@pytest.mark.parametrize("training", [True, False])
def test_a_reader_of_broken_samples_ends_with_an_error(training):
    reader = PartlyBroken(4, broken=range(4))
    pipeline = Pipeline(reader, (24, 32), batch_size=3, training=training, on_error="skip")
    with pytest.raises(ValueError, match=r"None of the 4 samples of .*PartlyBroken"):
        next(iter(pipeline))


class CountingReader:
    """A reader that counts how often it is read."""

    label_space = CITYSCAPES

    def __init__(self, count):
        self.reads = [0] * count
        self.reader = reader_of(count)

    def __len__(self):
        return len(self.reads)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.reader[index]


def test_a_cache_reads_every_sample_once():
    reader = CountingReader(3)
    pipeline = Pipeline(reader, (17, 17), batch_size=3, cache=True, num_threads=0)
    cached = [next(iter(pipeline))[0] for _ in range(2)]
    assert reader.reads == [1, 1, 1]
    plain_pipeline = Pipeline(reader_of(3), (17, 17), batch_size=3, num_threads=0)
    np.testing.assert_array_equal(cached, [next(iter(plain_pipeline))[0] for _ in range(2)])


def test_colours_change_in_training_only():
    negative = AutoAugment([[("Invert", 1, 0)]])
    options = {"image_size": (24, 32), "batch_size": 2, "targets": None, "autoaugment": negative}
    plain_images = next(
        iter(Pipeline(reader_of(2), scales=None, flip=False, **{**options, "autoaugment": None}))
    )
    images = next(iter(Pipeline(reader_of(2), scales=None, flip=False, **options)))
    np.testing.assert_allclose(images, -plain_images, atol=1e-6)
    ordered = next(iter(Pipeline(reader_of(2), training=False, **options)))
    np.testing.assert_allclose(ordered, [np.full((24, 32, 3), i / 127.5 - 1) for i in (0, 1)], atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_samples_are_resized_to_a_range(training):
    reader = ArrayReader(np.full((1, 10, 20, 3), 255), None, CITYSCAPES)
    pipeline = Pipeline(
        reader, (33, 65), training=training, targets=None, scales=None, flip=False, resize=(9, 41, 8)
    )
    (images,) = pipeline
    seen = images[0, ..., 0] == 1
    assert (seen.any(1).sum(), seen.any(0).sum()) == (9, 25)


def test_segments_of_other_samples_are_pasted_in_training():
    reader = reader_of(5, height=33, width=65)
    options = {"image_size": (33, 65), "copy_paste": PanopticCopyPaste(CITYSCAPES, stuff="none")}
    for images, targets in itertools.islice(
        Pipeline(reader, batch_size=5, scales=None, **options).dataset, 3
    ):
        own = images[:, -1, -1, 0]
        pasted = images[..., 0] != own[:, None, None]
        # Only cars are pasted, the car of each sample has one colour.
        assert (targets["semantic"][pasted] == 13).all()
    assert pasted.any()
    ordered = next(iter(Pipeline(reader, batch_size=5, training=False, **options)))
    plain_pass = next(iter(Pipeline(reader, (33, 65), batch_size=5, training=False)))
    np.testing.assert_array_equal(ordered[0], plain_pass[0])


class Video:
    """Frames of one colour each, with the frame before them: a car that moves to the right."""

    label_space = CITYSCAPES

    def __len__(self):
        return 4

    def __getitem__(self, index):
        sample = {"name": str(index)}
        for field, frame in (("", index), ("previous_", max(index - 1, 0))):
            sample[f"{field}image"] = np.full((24, 32, 3), 10 * frame, np.uint8)
            panoptic = np.zeros((24, 32), np.int32)
            panoptic[8:13, 4 + 5 * frame : 9 + 5 * frame] = 13_001
            sample[f"{field}panoptic"] = panoptic
        return sample


def test_neighbouring_frames_and_previous_centres_are_input():
    targets = functools.partial(motion_targets, sigma=1, center_noise=0, false_positive_rate=0)
    training = next(iter(Pipeline(Video(), (24, 32), 4, scales=None, flip=False, targets=targets)))
    images, found = training
    assert images.shape == (4, 24, 32, 7)
    assert "previous_center_heatmap" not in found
    frame = np.rint((images[:, 0, 0, 0] + 1) * 127.5 / 10)
    assert sorted(frame) == [0, 1, 2, 3]
    before = np.maximum(frame - 1, 0)
    np.testing.assert_allclose((images[:, 0, 0, 3:6] + 1) * 12.75, np.stack([before] * 3, -1), atol=1e-5)
    for image, column in zip(images, 6 + 5 * before.astype(int), strict=True):
        np.testing.assert_allclose(image[10, column, 6], 1 / 127.5 - 1, atol=1e-6)
        np.testing.assert_allclose(image[0, 0, 6], -1, atol=1e-6)
    ordered, _ = next(iter(Pipeline(Video(), (24, 32), 4, training=False, targets=targets)))
    assert ordered.shape == (4, 24, 32, 6)


def test_noise_is_drawn_in_training_only():
    targets = functools.partial(motion_targets, center_noise=1.0, false_positive_rate=0)
    options = {"image_size": (24, 32), "batch_size": 4, "targets": targets}
    _, ordered = next(iter(Pipeline(Video(), training=False, **options)))
    # Frame 0 has itself before it, the others move by 5 pixels.
    moved = ordered["motion_offset"][:, 10].min(1)
    np.testing.assert_array_equal(moved[1:, 1], [-7, -7, -7])
    noisy = next(iter(Pipeline(Video(), scales=None, flip=False, **options)))[1]["motion_offset"]
    assert not set(np.unique(noisy)) <= set(np.unique(ordered["motion_offset"]))


def test_own_transforms_replace_the_built_in_ones():
    def darken(sample, rng):
        return {**sample, "image": sample["image"] * 0, "panoptic": sample["panoptic"]}

    ((images, _),) = Pipeline(reader_of(2), (24, 32), transform=darken, training=False)
    assert (images == -1).all()


def test_transforms_of_another_size_are_refused():
    pipeline = Pipeline(reader_of(2), (24, 31), transform=lambda sample, rng: sample, num_threads=0)
    with pytest.raises(ValueError, match=r"shape \(24, 32, 3\). Expected: \(24, 31, 3\)"):
        next(iter(pipeline))


class FileReader:
    """Image files without labels."""

    label_space = CITYSCAPES

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return {"image": read_image(self.paths[index]), "name": str(self.paths[index])}


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    pipeline = Pipeline(FileReader([tmp_path / "broken.png"]), (9, 9), targets=None)
    with pytest.raises(ImageError, match=r"broken.png is truncated"):
        next(iter(pipeline))


def test_samples_without_a_map_are_named():
    pipeline = Pipeline(ArrayReader(np.zeros((1, 4, 4, 3)), None, CITYSCAPES, names=["street"]), (9, 9))
    with pytest.raises(ValueError, match=r"'street' has no panoptic map. Pass targets=None"):
        next(iter(pipeline))


def test_unknown_classes_name_the_sample():
    maps = np.full((1, 4, 4), 42000)
    pipeline = Pipeline(ArrayReader(np.zeros((1, 4, 4, 3)), maps, CITYSCAPES, names=["street"]), (9, 9))
    with pytest.raises(ValueError, match=r"Sample 'street': .*holds the class 42,"):
        next(iter(pipeline))


def test_empty_readers_are_refused():
    with pytest.raises(ValueError, match="has no samples"):
        Pipeline([], (9, 9))


def test_readers_without_a_label_space_need_one():
    samples = [{"image": np.zeros((4, 4, 3), np.uint8), "panoptic": np.zeros((4, 4), np.int32)}]
    with pytest.raises(ValueError, match="Pass `label_space`"):
        Pipeline(samples, (9, 9))
    assert len(Pipeline(samples, (9, 9), label_space=CITYSCAPES)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 9}, "A size must be"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"batch_size": 2.0}, "`batch_size` must be an integer >= 1"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
        ({"num_threads": -1}, "`num_threads` must be an integer >= 0"),
        ({"num_workers": 1.5}, "`num_workers` must be an integer >= 0"),
        ({"shard": (2, 2)}, r"`shard` must be \(index, count\)"),
        ({"shard": 1}, r"`shard` must be \(index, count\)"),
        ({"shard": (0, 4)}, "3 samples cannot be shared by 4 shards"),
        ({"on_error": "ignore"}, "`on_error` must be 'raise' or 'skip'"),
        ({"scales": (2, 1, 0)}, "`scales` must be"),
        ({"batch_size": 9, "drop_remainder": True}, "`drop_remainder` leaves no batch: 3 samples"),
    ],
)
def test_malformed_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(reader_of(3), **{"image_size": (9, 9), **options})


def test_repr_says_what_it_yields():
    text = repr(Pipeline(reader_of(5), (9, 17), batch_size=2))
    assert text.endswith("training: 3 batches of 2 at 9x17)")


def linear_model():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, {"semantic": keras.layers.Conv2D(19, 1)(inputs)})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss={"semantic": loss})
    return model


def semantic_only(sample, label_space, rng):
    return {"semantic": semantic_targets(sample, label_space)["semantic"]}


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
def test_keras_trains_and_evaluates_on_datasets():
    train = Pipeline(reader_of(6), (17, 25), batch_size=2, targets=semantic_only)
    validation = Pipeline(reader_of(3), (24, 32), batch_size=2, targets=semantic_only, training=False)
    model = linear_model()
    before = model.evaluate(validation.dataset, steps=len(validation), verbose=0)
    history = model.fit(
        train.dataset,
        steps_per_epoch=len(train),
        epochs=4,
        validation_data=validation.dataset,
        validation_steps=len(validation),
        verbose=0,
    ).history
    assert len(history["loss"]) == len(history["val_loss"]) == 4
    assert history["val_loss"][-1] < 0.8 * before


def test_importing_data_needs_neither_grain_nor_a_backend():
    code = (
        "import sys; from keras_deeplab.data import Cityscapes, Pipeline, read_image, resize_bilinear; "
        "print([m for m in ('grain', 'keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    root = pathlib.Path(__file__).parents[2]
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
