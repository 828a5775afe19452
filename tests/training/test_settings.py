import functools
import json

import keras
import pytest

from keras_deeplab.data import AutoAugment, panoptic_targets
from keras_deeplab.training.settings import describe_run, find_differences
from tests.training.tiny_runs import linear_pipeline, make_linear, make_pipeline


def describe(model=None, **options):
    return describe_run(model or make_linear(), make_pipeline(**options))


def test_a_description_is_plain_and_the_same_for_networks_made_later():
    first, second = describe(), describe()
    assert first == second == json.loads(json.dumps(first))


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"seed": 6}, "data.seed was 5 and is 6"),
        ({"scales": None}, "data.transform.scales was [0.5, 2.0, 0.1] and is None"),
        ({"autoaugment": AutoAugment()}, "data.transform.autoaugment was None and is"),
        ({"targets": functools.partial(panoptic_targets, sigma=3)}, "data.targets was"),
        ({"on_error": "skip"}, "data.on_error was 'raise' and is 'skip'"),
        ({"shard": (0, 2)}, "data.shard was [0, 1] and is [0, 2]"),
    ],
)
def test_differences_of_the_data_are_named(options, path):
    assert find_differences(describe(), describe(**options))[0].startswith(path)


def test_threads_are_no_difference():
    assert find_differences(describe(num_threads=1), describe(num_threads=3)) == []


@pytest.mark.parametrize(
    ("optimizer", "path"),
    [
        (keras.optimizers.Adam(0.02), "training.optimizer.learning_rate was"),
        (
            keras.optimizers.Adam(0.01, global_clipnorm=1.0),
            "training.optimizer.global_clipnorm was None and is 1",
        ),
        (keras.optimizers.SGD(0.01), "training.optimizer.class was 'Adam' and is 'SGD'"),
    ],
)
def test_differences_of_the_optimizer_are_named(optimizer, path):
    assert find_differences(describe(), describe(make_linear(optimizer)))[0].startswith(path)


def test_differences_of_the_network_are_named():
    frozen = make_linear()
    frozen.get_layer("hidden").trainable = False
    frozen.compile(keras.optimizers.Adam(0.01), loss=frozen.loss)
    differences = find_differences(describe(), describe(frozen))
    assert "model.trainable_weights was 4 and is 2" in differences


def test_precision_is_a_setting():
    before = describe()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        after = describe()
    finally:
        keras.config.set_dtype_policy("float32")
    assert any("mixed_bfloat16" in difference for difference in find_differences(before, after))


def test_names_of_the_samples_are_compared():
    pipeline = linear_pipeline()
    before = describe_run(make_linear(), pipeline)
    pipeline.reader.names[0] = "renamed"
    (difference,) = find_differences(before, describe_run(make_linear(), pipeline))
    assert difference.startswith("data.names was")


def test_long_values_are_cut_and_differences_counted():
    before = {str(number): "x" * 500 for number in range(9)}
    differences = find_differences(before, {})
    assert len(differences) == 5
    assert differences[0].startswith("0 was 'xxx")
    assert differences[0].endswith("... and is absent")
