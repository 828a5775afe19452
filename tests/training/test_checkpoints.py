import errno
import json

import keras
import numpy as np
import pytest

from keras_deeplab.training.checkpoints import Checkpoints
from tests.small_disk import no_space

SETTINGS = {"data": {"batch_size": 2}}


def make_model(seed=0, optimizer=None, dtype=None):
    keras.utils.set_random_seed(seed)
    images = keras.Input((4,))
    x = keras.layers.BatchNormalization(dtype=dtype)(keras.layers.Dense(3, dtype=dtype)(images))
    model = keras.Model(images, keras.layers.Dropout(0.5, seed=seed)(x))
    model.compile(optimizer or keras.optimizers.Adam(0.1, use_ema=True), loss="mse")
    return model


def trained(**options):
    model = make_model(**options)
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(6, 4)), rng.normal(size=(6, 3)), batch_size=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return trained()


def state_of(model):
    variables = [*model.weights, *model.layers[-1].variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda: keras.optimizers.Adam(0.1, use_ema=True),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.1)),
    ],
)
def test_everything_comes_back(tmp_path, make_optimizer):
    model = trained(optimizer=make_optimizer())
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(model, 3, SETTINGS, position={"next": 7})
    other = make_model(seed=1, optimizer=make_optimizer())
    start = checkpoints.load(other, SETTINGS)
    assert (start["step"], start["position"]) == (3, {"next": 7})
    for found, expected in zip(state_of(other), state_of(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_half_precision_comes_back(tmp_path):
    model, other = (make_model(seed, dtype="bfloat16") for seed in (0, 1))
    Checkpoints(tmp_path).save(model, 1, SETTINGS)
    Checkpoints(tmp_path).load(other, SETTINGS)
    assert keras.backend.standardize_dtype(other.weights[0].dtype) == "bfloat16"
    for found, expected in zip(state_of(other), state_of(model), strict=True):
        np.testing.assert_array_equal(found.astype("float32"), expected.astype("float32"))


def test_files_hold_no_pickled_objects(model, tmp_path):
    Checkpoints(tmp_path).save(model, 1, SETTINGS)
    with np.load(tmp_path / "step_00000001.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file}
    content = json.loads(arrays["run"].item())
    assert content["settings"] == SETTINGS
    assert content["variables"]["model_00000"] == [model.variables[0].path, "float32"]


def test_without_checkpoints_nothing_is_loaded(model, tmp_path):
    assert Checkpoints(tmp_path / "new").load(model, SETTINGS) is None


def test_the_newest_ones_are_kept(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (9, 10, 200):
        checkpoints.save(model, step, SETTINGS)
    assert checkpoints.steps == [10, 200]
    assert files(tmp_path) == ["step_00000010.npz", "step_00000200.npz"]


def test_unfinished_files_are_removed(model, tmp_path):
    Checkpoints(tmp_path).save(model, 1, SETTINGS)
    (tmp_path / ".step_00000002.npz.abc").write_bytes(b"half")
    assert Checkpoints(tmp_path).load(model, SETTINGS)["step"] == 1
    assert files(tmp_path) == ["step_00000001.npz"]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b""])
def test_a_damaged_file_is_passed_over(model, tmp_path, damage, caplog):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(model, step, SETTINGS)
    checkpoints.path(2).write_bytes(damage(checkpoints.path(2).read_bytes()))
    assert checkpoints.load(make_model(1), SETTINGS)["step"] == 1
    assert "Passed over the checkpoint" in caplog.text
    assert "step_00000002.npz" in caplog.text


def test_damaged_files_alone_are_an_error(model, tmp_path):
    (tmp_path / "step_00000001.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="None of the checkpoints"):
        Checkpoints(tmp_path).load(model, SETTINGS)


def test_another_run_is_refused_and_named(model, tmp_path):
    Checkpoints(tmp_path).save(model, 1, SETTINGS)
    other = make_model(1)
    before = state_of(other)
    with pytest.raises(ValueError, match=r"another run: data\.batch_size was 2 and is 4"):
        Checkpoints(tmp_path).load(other, {"data": {"batch_size": 4}})
    for found, expected in zip(state_of(other), before, strict=False):
        np.testing.assert_array_equal(found, expected)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    model = make_model()
    Checkpoints(tmp_path).save(model, 1, SETTINGS)
    model.layers[1].bias.assign([0, np.nan, 0])
    with pytest.raises(ValueError, match=r"bias is not finite after step 2.*step_00000001\.npz"):
        Checkpoints(tmp_path).save(model, 2, SETTINGS)
    assert files(tmp_path) == ["step_00000001.npz"]


def test_a_full_disk_leaves_what_there_was(model, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(model, 1, SETTINGS)
    before = checkpoints.path(1).read_bytes()
    with (
        no_space(len(before) // 2),
        pytest.raises(OSError, match=r"Cannot write '.*step_00000002\.npz': File too large") as e,
    ):
        checkpoints.save(model, 2, SETTINGS)
    assert e.value.errno == errno.EFBIG
    assert "step_00000001.npz'" in checkpoints.newest_in_words()
    assert files(tmp_path) == ["step_00000001.npz"]
    assert checkpoints.path(1).read_bytes() == before


@pytest.mark.parametrize("keep", [0, True, 1.5])
def test_keep_must_be_a_count(tmp_path, keep):
    with pytest.raises(ValueError, match="`keep` must be a whole number above 0"):
        Checkpoints(tmp_path, keep=keep)
