"""Optimizers equal DeepLab2's, on the variables and with the learning rates that its rules give."""

import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.training.optimizers import OPTIMIZERS, SGD, Adam, AdamW
from keras_deeplab.training.schedules import warmed_up_decay
from tests.references import SOURCES, load_component

NUMPY = ops.convert_to_numpy
CASES = ["adam_wu0", "adam_wu3", "sgd_wu0", "sgd_wu3", "adamw_wu0", "adamw_wu3"]


def variables_of(values, names=None):
    """Variables with the last part of their names in DeepLab2."""
    names = names or ["kernel"] * len(values)
    return [
        keras.Variable(value, name=name.rpartition("/")[2].partition(":")[0])
        for value, name in zip(values, names, strict=True)
    ]


def values_of(variables):
    return [NUMPY(variable) for variable in variables]


def apply(optimizer, gradients, variables):
    """One step as `fit` makes it on this backend: compiled, and on JAX without state."""
    gradients = [ops.convert_to_tensor(gradient) for gradient in gradients]
    optimizer.build(variables) if not optimizer.built else None
    if keras.backend.backend() != "jax":
        optimizer.apply(gradients, variables)
        return
    import jax

    new, state = jax.jit(optimizer.stateless_apply)(
        [v.value for v in optimizer.variables], gradients, [v.value for v in variables]
    )
    for variable, value in zip([*variables, *optimizer.variables], [*new, *state], strict=True):
        variable.assign(value)


def model_with(backbone):
    return types.SimpleNamespace(backbone=types.SimpleNamespace(variables=backbone))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", CASES)
def test_updates_equal_those_of_deeplab2(source, case):
    arrays, meta = load_component("c09_optim", source)
    name, _, warmup = case.partition("_wu")
    optimizer = OPTIMIZERS[name](warmed_up_decay("polynomial", 0.01, steps=20, warmup_steps=int(warmup)))
    variables = variables_of(arrays[f"opt/{case}/w0"], meta["cases"][f"opt/{case}"]["names"])
    for step in range(6):
        apply(optimizer, arrays[f"opt/{case}/g{step}"], variables)
        np.testing.assert_allclose(
            np.stack(values_of(variables)), arrays[f"opt/{case}/w{step + 1}"], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("source", SOURCES)
def test_the_variables_that_decay_are_those_of_deeplab2(source):
    rules = load_component("c09_optim", source)[1]["cases"]["decay_rule"]
    # DeepLab2 matches the suffix that TensorFlow gives to variables; this one has none, and no effect there.
    rules = {name: decays for name, decays in rules.items() if name.endswith(":0")}
    assert sum(rules.values()) == 9
    for name, decays in rules.items():
        (variable,) = variables_of([np.ones((2, 2), "float32")], [name])
        apply(AdamW(0.1, weight_decay=0.5), [np.zeros((2, 2), "float32")], [variable])
        np.testing.assert_allclose(NUMPY(variable), 0.95 if decays else 1.0, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("norm", ["0.5", "10.0"])
def test_gradients_are_clipped_together_as_by_deeplab2(source, norm):
    arrays, _ = load_component("c09_optim", source)
    gradients = [arrays[f"clip/in{i}"] for i in range(3)]
    variables = variables_of([np.zeros_like(gradient) for gradient in gradients])
    apply(SGD(1.0, momentum=0.0, global_clipnorm=float(norm)), gradients, variables)
    for i, variable in enumerate(variables):
        np.testing.assert_allclose(NUMPY(variable), -arrays[f"clip{norm}/out{i}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_backbone_moves_by_a_multiple_of_the_learning_rate(name):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(3, 2)).astype("float32") for _ in range(4)]
    gradients = [[rng.normal(size=(3, 2)).astype("float32") for _ in range(4)] for _ in range(3)]
    names = ["kernel", "bias", "kernel", "gamma"]

    def train(rate, backbone_places=(), multiplier=1.0):
        variables = variables_of(start, names)
        optimizer = OPTIMIZERS[name](rate, backbone_multiplier=multiplier)
        optimizer.for_model(model_with([variables[i] for i in backbone_places]))
        for step in gradients:
            apply(optimizer, step, variables)
        return values_of(variables)

    together, slow, fast = train(0.1, (0, 3), 0.25), train(0.025), train(0.1)
    for i, expected in enumerate([slow[0], fast[1], fast[2], slow[3]]):
        np.testing.assert_allclose(together[i], expected, rtol=1e-5, atol=1e-6)
        assert not np.allclose(slow[i], fast[i])


def test_a_backbone_that_is_all_or_nothing_of_the_variables_works():
    for places in ((0,), ()):
        variables = variables_of([np.ones(2, "float32")], ["bias"])
        optimizer = AdamW(0.1, weight_decay=0.1, backbone_multiplier=0.0)
        optimizer.for_model(model_with([variables[i] for i in places]))
        apply(optimizer, [np.ones(2, "float32")], variables)
        np.testing.assert_allclose(NUMPY(variables[0]), 1.0 if places else 0.9, rtol=1e-5)
        assert optimizer.weight_decay == 0.1


def test_a_multiplier_without_a_model_is_refused():
    with pytest.raises(ValueError, match="must know the backbone"):
        Adam(0.1, backbone_multiplier=0.1).apply(
            [ops.ones(2)], variables_of([np.ones(2, "float32")], ["bias"])
        )
    with pytest.raises(ValueError, match="`backbone_multiplier` must not be negative"):
        SGD(0.1, backbone_multiplier=-1.0)


def test_accumulated_batches_are_one_step_of_the_schedule():
    def train(batches, **options):
        variables = variables_of([np.ones((2, 2), "float32")])
        schedule = warmed_up_decay("polynomial", 0.1, steps=4, warmup_steps=2)
        optimizer = AdamW(schedule, weight_decay=0.1, **options)
        for batch in batches:
            apply(optimizer, [np.full((2, 2), batch, "float32")], variables)
        return NUMPY(variables[0])

    whole = train([2.0, -1.0, 0.5])
    halves = train([1.0, 3.0, -3.0, 1.0, 0.0, 1.0], gradient_accumulation_steps=2)
    np.testing.assert_allclose(halves, whole, rtol=1e-5)


def test_the_moving_average_of_the_weights_is_keras_own():
    variables = variables_of([np.zeros(1, "float32")], ["bias"])
    optimizer = SGD(1.0, momentum=0.0, use_ema=True, ema_momentum=0.5)
    for _ in range(3):
        apply(optimizer, [np.full(1, -1.0, "float32")], variables)
    np.testing.assert_allclose(NUMPY(variables[0]), [3.0])
    optimizer.finalize_variable_values(variables)
    # 1 from the first step, then halfway to 2, then halfway to 3.
    np.testing.assert_allclose(NUMPY(variables[0]), [2.25])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_goes_on_as_the_old_one(name, tmp_path):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(8, 4)).astype("float32")
    labels = rng.normal(size=(8, 1)).astype("float32")

    def build():
        keras.utils.set_random_seed(0)
        pixels = keras.Input((4,))
        backbone = keras.layers.Dense(3)
        model = keras.Model(pixels, keras.layers.Dense(1)(backbone(pixels)))
        schedule = warmed_up_decay("cosine", 0.05, steps=10, warmup_steps=2)
        optimizer = OPTIMIZERS[name](schedule, backbone_multiplier=0.1)
        model.compile(optimizer=optimizer.for_model(model_with(backbone.variables)), loss="mse")
        return model

    def fit(model):
        model.fit(images, labels, batch_size=4, shuffle=False, verbose=0)

    unbroken, first, second = build(), build(), build()
    for model in (unbroken, unbroken, first):
        fit(model)
    first.save_weights(tmp_path / "model.weights.h5")
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "model.weights.h5")
    fit(second)
    assert int(NUMPY(second.optimizer.iterations)) == 4
    for actual, expected in zip(second.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", [Adam(0.1), AdamW(0.1, 0.02), SGD(0.1, 0.7)])
def test_its_configuration_round_trips(optimizer):
    optimizer.backbone_multiplier = 0.3
    config = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.deserialize(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert again.get_config()["backbone_multiplier"] == 0.3


def test_on_pytorch_all_variables_are_updated_at_once():
    if keras.backend.backend() == "torch":
        assert hasattr(Adam(0.1), "_parallel_update_step")
        assert hasattr(SGD(0.1), "_parallel_update_step")
    assert isinstance(AdamW(), keras.optimizers.Adam)
    assert isinstance(SGD(), keras.optimizers.SGD)
