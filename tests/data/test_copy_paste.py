import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.copy_paste import MODES, PanopticCopyPaste
from keras_deeplab.data.transforms import RandomScaleCrop
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from tests.references import SOURCES, load_component

COCO = LabelSpace(
    "coco",
    classes=tuple(f"class {i}" for i in range(134)),
    things=range(1, 81),
    ignore_label=0,
    label_divisor=256,
)


class Choice:
    """A generator that returns a prepared number and permutation."""

    def __init__(self, number, permutation):
        self.number, self.order = number, permutation

    def integers(self, low, high):
        assert (low, high) == (0, len(self.order) + 1)
        return self.number

    def permutation(self, count):
        assert count == len(self.order)
        return self.order


def reference_cases():
    for source in SOURCES:
        arrays, meta = load_component("c03_targets_coco", source)
        for case, parameters in meta["cases"].items():
            if case.startswith("copy_paste"):
                yield pytest.param(case, parameters["number_to_keep"], arrays, id=f"{source}-{case}")


@pytest.mark.parametrize(("case", "number", "arrays"), reference_cases())
def test_pasting_agrees_with_deeplab2(case, number, arrays):
    sample, other = (
        {"image": arrays[f"{case}/in/{prefix}image"], "panoptic": arrays[f"{case}/in/{prefix}label"][..., 0]}
        for prefix in ("", "cp_")
    )
    paste = PanopticCopyPaste(COCO, *case.split("_")[2:])
    pasted = paste(sample, other, Choice(number, arrays[f"{case}/in/shuffle_perm"]))
    np.testing.assert_array_equal(pasted["image"], arrays[f"{case}/out/image"])
    np.testing.assert_array_equal(pasted["panoptic"], arrays[f"{case}/out/label"][..., 0])


def make_sample(seed, name="street", size=(12, 15)):
    rng = np.random.default_rng(seed)
    classes = rng.choice([0, 8, 11, 13, 255], size)
    instances = np.where(np.isin(classes, (11, 13)), rng.integers(0, 4, size), 0)
    return {
        "image": rng.integers(0, 256, (*size, 3)).astype(np.float32),
        "panoptic": (classes * 1000 + instances).astype(np.int32),
        "name": name,
    }


modes = st.sampled_from(MODES)


@given(st.integers(0, 999), modes, modes, modes)
def test_pixels_come_from_one_sample_or_the_other(seed, things, stuff, void):
    sample, other = make_sample(seed), make_sample(seed + 1)
    paste = PanopticCopyPaste(CITYSCAPES, things, stuff, void)
    pasted = paste(sample, other, np.random.default_rng(seed))
    is_other = (pasted["image"] != sample["image"]).any(axis=-1)
    np.testing.assert_array_equal(pasted["image"][is_other], other["image"][is_other])
    np.testing.assert_array_equal(pasted["panoptic"][~is_other], sample["panoptic"][~is_other])
    np.testing.assert_array_equal(pasted["panoptic"][is_other] // 1000, other["panoptic"][is_other] // 1000)
    for value in np.unique(other["panoptic"]):
        assert np.ptp(is_other[other["panoptic"] == value].astype(int)) == 0
    assert pasted["name"] == "street"


@pytest.mark.parametrize(("things", "stuff", "void"), itertools.product(("all", "none"), repeat=3))
def test_all_and_none_choose_whole_groups(things, stuff, void):
    sample = {"image": np.zeros((1, 4, 3)), "panoptic": np.full((1, 4), 10_000)}
    other = {"image": np.ones((1, 4, 3)), "panoptic": np.array([[13001, 11000, 8000, 255000]])}
    pasted = PanopticCopyPaste(CITYSCAPES, things, stuff, void)(sample, other, np.random.default_rng(0))
    expected = [things == "all", things == "all", stuff == "all", void == "all"]
    np.testing.assert_array_equal(pasted["image"][0, :, 0], expected)


def test_pasted_instances_are_counted_down_from_the_divisor():
    sample = {"image": np.zeros((1, 3, 3)), "panoptic": np.array([[13001, 0, 0]])}
    other = {"image": np.ones((1, 3, 3)), "panoptic": np.array([[255001, 13001, 11000]])}
    pasted = PanopticCopyPaste(CITYSCAPES)(sample, other, np.random.default_rng(0))
    np.testing.assert_array_equal(pasted["panoptic"], [[13001, 13998, 11000]])
    np.testing.assert_array_equal(pasted["image"][0, :, 0], [0, 1, 1])


def test_random_subsets_have_every_size():
    other = {"image": np.ones((1, 3, 3)), "panoptic": np.array([[0, 1000, 2000]])}
    sample = {"image": np.zeros((1, 3, 3)), "panoptic": np.full((1, 3), 10_000)}
    paste, rng = PanopticCopyPaste(CITYSCAPES), np.random.default_rng(0)
    drawn = [paste(sample, other, rng)["image"][0, :, 0] for _ in range(2000)]
    numbers = np.bincount(np.sum(drawn, axis=-1).astype(int)) / 2000
    np.testing.assert_allclose(numbers, [0.25] * 4, atol=0.05)
    np.testing.assert_allclose(np.mean(drawn, axis=0), [0.5] * 3, atol=0.05)


def test_padding_is_never_pasted():
    paste = PanopticCopyPaste(CITYSCAPES, things="all", stuff="all", void="all")
    crop = RandomScaleCrop((12, 15), paste.padding, scales=(0.5, 0.5, 0))
    rng = np.random.default_rng(0)
    other = crop(make_sample(1), rng)
    is_padding = other["panoptic"] == paste.padding
    assert is_padding.sum() == 12 * 15 - 6 * 7
    sample = make_sample(0)
    pasted = paste(sample, other, rng)
    np.testing.assert_array_equal(pasted["panoptic"][is_padding], sample["panoptic"][is_padding])
    np.testing.assert_array_equal(pasted["image"][~is_padding], other["image"][~is_padding])


def test_samples_stay_as_they_were():
    sample, other = make_sample(0), make_sample(1)
    PanopticCopyPaste(CITYSCAPES)(sample, other, np.random.default_rng(0))
    for each, seed in ((sample, 0), (other, 1)):
        np.testing.assert_array_equal(each["panoptic"], make_sample(seed)["panoptic"])
        np.testing.assert_array_equal(each["image"], make_sample(seed)["image"])


@pytest.mark.parametrize("which", [0, 1])
def test_instances_of_half_the_divisor_are_refused(which):
    samples = [make_sample(0), make_sample(1, name="other")]
    samples[which]["panoptic"][0, 0] = 13500
    name = ("street", "other")[which]
    with pytest.raises(
        ValueError, match=f"Sample '{name}' has instance 500. .* below half the label divisor, 500"
    ):
        PanopticCopyPaste(CITYSCAPES)(*samples, np.random.default_rng(0))


def test_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"'street' and 'b' differ in size: \(12, 15\) and \(9, 9\)"):
        PanopticCopyPaste(CITYSCAPES)(make_sample(0), make_sample(1, "b", (9, 9)), np.random.default_rng(0))


def test_other_fields_are_refused():
    sample = {**make_sample(0), "depth": np.ones((12, 15))}
    with pytest.raises(ValueError, match="'street' has the fields: depth, image, panoptic"):
        PanopticCopyPaste(CITYSCAPES)(sample, make_sample(1), np.random.default_rng(0))


def test_unknown_modes_are_refused():
    with pytest.raises(
        ValueError, match=r"`stuff` must be one of all, random, none\. Received: stuff='some'"
    ):
        PanopticCopyPaste(CITYSCAPES, stuff="some")
