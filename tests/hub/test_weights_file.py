"""Weights files in half precision: which arrays are cast, and that nothing else changes."""

import h5py
import numpy as np
import pytest

from keras_deeplab.hub.weights_file import cast_weights


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["origin"] = "test"
        layer = file.create_group("layers/conv/vars")
        layer.attrs["name"] = "conv"
        layer["0"] = rng.normal(size=(3, 3, 4, 8)).astype("float32")
        layer["1"] = rng.normal(size=8).astype("float32")
        layer["2"] = np.full((2, 2), 1e5, "float32")
        layer["3"] = np.arange(6).reshape(2, 3)
    return path


def read(path):
    with h5py.File(path) as file:
        return {key: (item[()], dict(item.attrs)) for key, item in file["layers/conv/vars"].items()}


def test_kernels_are_rounded_and_the_rest_stays(path):
    before = read(path)
    cast_weights(path, "float16")
    after = read(path)
    assert after["0"][0].dtype == "float16"
    np.testing.assert_array_equal(after["0"][0], before["0"][0].astype("float16"))
    for key in ("1", "2", "3"):
        assert after[key][0].dtype == before[key][0].dtype
        np.testing.assert_array_equal(after[key][0], before[key][0])


def test_bfloat16_is_marked_and_keeps_large_numbers(path):
    cast_weights(path, "bfloat16")
    weights = read(path)
    assert {key for key, (_, attributes) in weights.items() if attributes == {"dtype": "bfloat16"}} == {
        "0",
        "2",
    }
    # A bfloat16 is the upper half of a float32.
    bits = weights["2"][0].view("uint16").astype("uint32") << 16
    np.testing.assert_allclose(bits.view("float32"), 1e5, rtol=2**-8)


def test_attributes_stay_and_no_file_is_left_over(path):
    cast_weights(path, "float16")
    with h5py.File(path) as file:
        assert file.attrs["origin"] == "test"
        assert file["layers/conv/vars"].attrs["name"] == "conv"
    assert list(path.parent.iterdir()) == [path]


def test_casting_twice_changes_nothing(path):
    cast_weights(path, "bfloat16")
    once = path.read_bytes()
    cast_weights(path, "bfloat16")
    assert path.stat().st_size == len(once)
    first, second = read(path), None
    cast_weights(path, "float16")
    second = read(path)
    assert second["0"][0].tobytes() == first["0"][0].tobytes()
    assert second["0"][1] == first["0"][1]


def test_a_file_that_cannot_be_read_stays(tmp_path):
    path = tmp_path / "model.weights.h5"
    path.write_bytes(b"not hdf5")
    with pytest.raises(OSError, match="file signature"):
        cast_weights(path, "float16")
    assert path.read_bytes() == b"not hdf5"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_type_is_an_error(path):
    with pytest.raises(ValueError, match="Received: 'int8'"):
        cast_weights(path, "int8")
