"""Learning rates equal DeepLab2's in all of its experiments."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.training.schedules import LinearWarmUp, cosine_decay, polynomial_decay, warmed_up_decay
from tests.references import SOURCES, load_component

NUMPY = ops.convert_to_numpy
NAMES = {"poly": "polynomial", "cosine": "cosine"}


@pytest.mark.parametrize("source", SOURCES)
def test_every_schedule_of_deeplab2_is_reproduced(source):
    arrays, meta = load_component("c09_optim", source)
    schedules = meta["cases"]["schedules"]
    assert len(schedules) == 29
    for number, case in enumerate(schedules):
        facts = case["params"]
        base = facts["base_lr"]
        options = {"power": facts["power"], "end_learning_rate": facts["end"]}
        schedule = warmed_up_decay(
            NAMES[facts["policy"]], base, facts["total"], facts["warmup"],
            **(options if facts["policy"] == "poly" else {}),
        )  # fmt: skip
        steps = arrays[f"sched{number}/steps"]
        rates = np.array([float(NUMPY(schedule(int(step)))) for step in steps])
        expected = arrays[f"sched{number}/lr"]
        # Both compute in float32, where one minus a number close to one has few digits.
        np.testing.assert_allclose(rates, expected, rtol=2e-6, atol=1e-6 * base, err_msg=str(case))
        backbone = rates * facts["backbone_mult"]
        np.testing.assert_allclose(
            backbone, arrays[f"sched{number}/lr_backbone"], rtol=2e-6, atol=1e-6 * base, err_msg=str(case)
        )


def test_the_decay_is_not_shifted_by_the_warm_up():
    schedule = LinearWarmUp(polynomial_decay(5e-4, 100_000), 5_000)
    rates = [float(NUMPY(schedule(step))) for step in (0, 2_500, 4_999, 5_000, 100_000, 200_000)]
    expected = [0.0, 2.5e-4, 5e-4 * 4_999 / 5_000, 5e-4 * 0.95**0.9, 0.0, 0.0]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-12)


def test_cosine_decay_follows_half_a_cosine():
    schedule = warmed_up_decay("cosine", 0.2, steps=100, warmup_steps=10)
    rates = [float(NUMPY(schedule(step))) for step in (5, 10, 50, 75, 100)]
    cosine = [0.2 * (1 + np.cos(np.pi * step / 100)) / 2 for step in (10, 50, 75, 100)]
    np.testing.assert_allclose(rates, [0.1, *cosine], rtol=1e-5, atol=1e-8)


def test_it_takes_a_tensor_in_compiled_code():
    schedule = warmed_up_decay("polynomial", 1.0, steps=10, warmup_steps=4)
    rate = schedule(ops.convert_to_tensor(np.int32(2)))
    assert float(NUMPY(rate)) == pytest.approx(0.5)


@pytest.mark.parametrize("decay", [polynomial_decay(0.1, 50), cosine_decay(0.1, 50)])
def test_it_is_saved_and_restored(decay):
    schedule = LinearWarmUp(decay, 7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert isinstance(again, LinearWarmUp)
    for step in (3, 7, 20):
        assert float(NUMPY(again(step))) == float(NUMPY(schedule(step)))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`warmup_steps` must not be negative"):
        LinearWarmUp(cosine_decay(0.1, 50), -1)
    with pytest.raises(ValueError, match=r"Unknown schedule 'poly'. Schedules: polynomial, cosine."):
        warmed_up_decay("poly", 0.1, 50)
