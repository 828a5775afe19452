import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.autoaugment import POLICIES, AutoAugment, ColorOperations
from tests.references import SOURCES, load_component


def make_sample(seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.integers(0, 256, (12, 15, 3), dtype=np.uint8), "panoptic": np.ones((12, 15), int)}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("deeplab2_name", "magnitude_scale"),
    [("simple_classification_policy", 1.0), ("simple_classification_policy_magnitude_scale_0.2", 0.2)],
)
def test_policies_agree_with_deeplab2(source, deeplab2_name, magnitude_scale):
    _, meta = load_component("c04_autoaugment", source)
    expected = meta["cases"]["policies"][deeplab2_name]
    sub_policies = AutoAugment(magnitude_scale=magnitude_scale).sub_policies
    assert [[list(step) for step in steps] for steps in sub_policies] == expected


@given(st.integers(0, 9999))
def test_the_same_seed_gives_the_same_image(seed):
    first, second = (AutoAugment()(make_sample(), np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first["image"], second["image"])
    assert first["image"].dtype == np.uint8


def test_only_images_change():
    sample = {**make_sample(), "next_image": make_sample(1)["image"]}
    inverting = AutoAugment(policy=[[("Invert", 1.0, 0)]])
    changed = inverting(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(changed["image"], 255 - sample["image"])
    np.testing.assert_array_equal(changed["next_image"], 255 - sample["next_image"])
    assert changed["panoptic"] is sample["panoptic"]


def test_float_images_lose_their_fraction():
    sample = {"image": np.full((2, 2, 3), 7.9, np.float32)}
    assert (AutoAugment(policy=[[]])(sample, np.random.default_rng(0))["image"] == 7).all()


def test_operations_take_place_with_their_probability():
    rng, augment = np.random.default_rng(0), AutoAugment()
    steps = [name for _ in range(5000) for name, _ in augment.draw(rng).steps]
    expected = {
        "Sharpness": 0.8,
        "Brightness": 0.2,
        "Equalize": 0.8,
        "Contrast": 0.2,
        "Color": 0.2,
        "Solarize": 0.2,
    }
    assert set(steps) == set(expected)
    for name, sum_of_probabilities in expected.items():
        assert steps.count(name) / 5000 == pytest.approx(sum_of_probabilities / 5, abs=0.02)


def test_both_operations_of_a_sub_policy_can_come_one_after_another():
    operations = AutoAugment(policy=[[("Solarize", 1.0, 5), ("Posterize", 1.0, 2.5)]]).draw(
        np.random.default_rng(0)
    )
    assert operations == ColorOperations((("Solarize", 5), ("Posterize", 2.5)))
    image = np.array([[[10, 130, 255]]], np.uint8)
    np.testing.assert_array_equal(operations(image), [[[0, 0, 0]]])


def test_the_reach_of_operations_adds_up():
    assert ColorOperations(()).reach == 0
    assert ColorOperations((("Solarize", 1), ("Sharpness", 1), ("Sharpness", 1))).reach == 2
    assert ColorOperations((("Sharpness", 1), ("Equalize", 1))).reach is None


def test_every_policy_is_well_formed():
    for name in POLICIES:
        assert AutoAugment(name).sub_policies


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("colours", "Unknown policy 'colours'. Policies: simple_classification"),
        ([], "`policy` has no sub-policies"),
        ([[("Rotate", 0.5, 3)]], "Unknown operation 'Rotate'. Operations: AutoContrast,"),
        ([[("Color", 1.5, 3)]], r"probabilities in \[0, 1\]"),
        ([[("Color", 0.5, 11)]], r"magnitudes, scaled, in \[0, 10\]"),
    ],
)
def test_malformed_policies_are_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        AutoAugment(policy)
