"""Reading TensorFlow's checkpoints: every form that DeepLab2's files have, and every way to be broken."""

import os
import pathlib
import sys

import h5py
import numpy as np
import pytest

from keras_deeplab.hub.checkpoint_reader import find_checkpoint, open_checkpoint
from tests.archive_server import write_name_based_checkpoint, write_object_checkpoint
from tests.reference_weights import reference_weight
from tests.references import FULL

tf = pytest.importorskip("tensorflow")

# A part of a ConvNeXt's keys.
ARRAYS = {
    "downsample_layers/0/layer_with_weights-0/kernel": np.arange(12, dtype="float32").reshape(2, 2, 3),
    "downsample_layers/0/layer_with_weights-0/bias": np.float32([1, 2]),
    "stages/0/layer_with_weights-0/layer_scale": np.full((1, 1, 1, 2), 0.5, "float32"),
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_object_checkpoint(folder / "ckpt-1", ARRAYS)
    return folder


def assert_holds(reader, arrays):
    assert sorted(reader) == sorted(arrays)
    assert len(reader) == len(arrays)
    for key, value in arrays.items():
        assert reader[key].dtype == value.dtype
        np.testing.assert_array_equal(reader[key], value)


def test_an_object_graph(folder):
    reader = open_checkpoint(folder / "ckpt-1")
    assert_holds(reader, ARRAYS)
    assert reader.path == folder / "ckpt-1"
    assert repr(reader) == f"CheckpointReader({str(folder / 'ckpt-1')!r}, 3 arrays)"


def test_an_object_graph_with_counters_and_an_optimizer(tmp_path):
    variable = tf.Variable([1.0, 2.0])
    optimizer = tf.Module()
    optimizer.momentum = tf.Variable([0.0, 0.0])
    write_object_checkpoint(
        tmp_path / "ckpt-1", {"encoder/kernel": variable.numpy()}, optimizer=optimizer, step=tf.Variable(7)
    )
    # Whether they are weights, `load_weights` knows.
    assert {"encoder/kernel", "step", "optimizer/momentum"} <= set(open_checkpoint(tmp_path))


def test_keys_are_those_of_the_mapping(folder):
    reader = open_checkpoint(folder)
    assert "downsample_layers/0/layer_with_weights-0/bias" in reader
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" not in reader
    with pytest.raises(KeyError):
        reader["absent"]


def test_arrays_are_read_when_asked_for(folder):
    reader = open_checkpoint(folder)
    list(reader)
    damage(folder / "ckpt-1.data-00000-of-00001", position=0)
    good = [key for key in reader if _reads(reader, key)]
    assert 0 < len(good) < len(reader)


def _reads(reader, key):
    try:
        reader[key]
    except ValueError:
        return False
    return True


def test_names_of_tensorflow_1_prefer_the_moving_average(tmp_path):
    kernel, average = np.ones((3, 3), "float32"), np.full((3, 3), 2, "float32")
    mean = np.zeros(4, "float32")
    write_name_based_checkpoint(
        tmp_path / "model.ckpt-300",
        {
            "moat/stem/conv_0/kernel": kernel,
            "moat/stem/conv_0/kernel/ExponentialMovingAverage": average,
            "moat/stem/conv_0/kernel/Adam": kernel,
            "moat/stem/conv_0/kernel/adam_v": kernel,
            "moat/stem/norm_0/moving_mean": mean,
            "moat/head/bias/ExponentialMovingAverage": average,
            "global_step": np.int64(300),
            "beta1_power": np.float32(0.5),
        },
    )
    assert_holds(
        open_checkpoint(tmp_path),
        {
            "moat/stem/conv_0/kernel": average,
            "moat/stem/norm_0/moving_mean": mean,
            "moat/head/bias": average,
        },
    )


def test_tensorflow_1s_own_saver(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with tf.compat.v1.variable_scope("moat/stem"):
            kernel = tf.compat.v1.get_variable("kernel", initializer=[1.0, 3.0], use_resource=False)
        average = tf.compat.v1.train.ExponentialMovingAverage(0.5)
        update = average.apply([kernel])
        session.run(kernel.initializer)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(kernel.assign([3.0, 5.0]))
        session.run(update)
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), global_step=5)
    assert_holds(open_checkpoint(tmp_path), {"moat/stem/kernel": np.float32([2, 4])})


def test_half_precision_stays(tmp_path):
    write_object_checkpoint(tmp_path / "ckpt-1", {"a/kernel": np.float16([1.5])})
    assert_holds(open_checkpoint(tmp_path), {"a/kernel": np.float16([1.5])})


def write_keras_2(file, weights):
    file.attrs["layer_names"] = [name.encode() for name in weights]
    for layer, arrays in weights.items():
        group = file.create_group(layer)
        group.attrs["weight_names"] = [name.encode() for name in arrays]
        for name, value in arrays.items():
            group[name] = value


@pytest.mark.parametrize("root", ["", "model_weights"])
def test_keras_2s_hdf5(tmp_path, root):
    with h5py.File(tmp_path / "convnext.h5", "w") as file:
        write_keras_2(
            file.create_group(root) if root else file,
            {
                "conv2d": {"conv2d/kernel:0": np.float32([1])},
                "convnext_block_0": {"convnext_block_0/dense/bias:0": np.float32([2])},
                "dropout": {},
            },
        )
        if root:
            file["optimizer_weights/conv2d/kernel/m:0"] = np.float32([3])
    assert_holds(
        open_checkpoint(tmp_path / "convnext.h5"),
        {"conv2d/kernel": np.float32([1]), "convnext_block_0/dense/bias": np.float32([2])},
    )


def test_keras_3s_hdf5(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="dense")])
    model.compile("adam", "mse")
    model.save_weights(tmp_path / "model.weights.h5")
    kernel, bias = map(keras.ops.convert_to_numpy, model.weights)
    assert_holds(open_checkpoint(tmp_path), {"layers/dense/vars/0": kernel, "layers/dense/vars/1": bias})


def test_hdf5_needs_no_tensorflow(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kernel"] = np.float32([1])
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert_holds(open_checkpoint(tmp_path), {"kernel": np.float32([1])})


def test_without_tensorflow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"keras-deeplab\[tensorflow\]"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["ckpt-1", "ckpt-1.index", "ckpt-1.data-00000-of-00001", ".", "..", "../../{name}/run"]
)
def test_a_checkpoint_is_found_by_prefix_file_and_folder(folder, name):
    path = folder / name.format(name=folder.parent.name)
    assert find_checkpoint(path).resolve() == folder / "ckpt-1"


def touch(*paths):
    for age, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (10**9 + age, 10**9 + age))


def test_the_highest_step_and_then_the_newest(tmp_path):
    touch(*(tmp_path / f"{name}.index" for name in ("ckpt-200", "ckpt-1000", "ckpt-90", "b", "a")))
    assert find_checkpoint(tmp_path).name == "ckpt-1000"
    (tmp_path / "ckpt-1000.index").unlink()
    assert find_checkpoint(tmp_path).name == "ckpt-200"
    for path in tmp_path.glob("ckpt-*"):
        path.unlink()
    assert find_checkpoint(tmp_path).name == "a"


@pytest.mark.parametrize("named", ["ckpt-90", "/training/machine/ckpt-90"])
def test_the_one_that_tensorflow_names(tmp_path, named):
    touch(tmp_path / "ckpt-90.index", tmp_path / "ckpt-200.index")
    (tmp_path / "checkpoint").write_text(
        f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "ckpt-200"\n'
    )
    assert find_checkpoint(tmp_path).name == "ckpt-90"


@pytest.mark.parametrize("text", ['model_checkpoint_path: "ckpt-900"', "", "\xff\x00"])
def test_a_name_of_nothing_does_not_count(tmp_path, text):
    touch(tmp_path / "ckpt-90.index")
    (tmp_path / "checkpoint").write_text(text, encoding="latin-1")
    assert find_checkpoint(tmp_path).name == "ckpt-90"


def test_hidden_files_are_none(tmp_path):
    touch(tmp_path / "run" / "ckpt-1.index", tmp_path / "run" / "._ckpt-2.index")
    assert find_checkpoint(tmp_path) == tmp_path / "run" / "ckpt-1"


def test_several_folders_are_ambiguous(tmp_path):
    touch(tmp_path / "a" / "ckpt-1.index", tmp_path / "b" / "ckpt-1.index")
    with pytest.raises(ValueError, match=r"several folders. Name one: .*/a, .*/b"):
        find_checkpoint(tmp_path)


def test_nothing_there(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no checkpoint in .*: no file \*.index, and 0 HDF5 files"):
        open_checkpoint(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"no checkpoint '.*ckpt-2': ckpt-2.index is missing"):
        open_checkpoint(folder / "ckpt-2")
    (folder / "ckpt-1.index").unlink()
    with pytest.raises(ValueError, match=r"ckpt-1.index is missing"):
        open_checkpoint(folder / "ckpt-1")


def damage(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 255
    path.write_bytes(content)


def test_data_is_missing(folder):
    (folder / "ckpt-1.data-00000-of-00001").unlink()
    with pytest.raises(ValueError, match=r"incomplete. Missing: ckpt-1.data-00000-of-00001"):
        open_checkpoint(folder)
    (folder / "ckpt-1.data-00000-of-00002").write_bytes(b"")
    with pytest.raises(ValueError, match=r"incomplete. Missing: ckpt-1.data-00001-of-00002"):
        open_checkpoint(folder)


@pytest.mark.parametrize("size", [0, 20, -1])
def test_data_is_truncated(folder, size):
    path = folder / "ckpt-1.data-00000-of-00001"
    os.truncate(path, size if size >= 0 else path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"ckpt-1' is (truncated|damaged)"):
        dict(open_checkpoint(folder))


@pytest.mark.parametrize("position", [0, 30, 60])
def test_data_is_damaged(folder, position):
    damage(folder / "ckpt-1.data-00000-of-00001", position)
    with pytest.raises(ValueError, match=r"ckpt-1' is damaged at .*(?i:checksum)"):
        dict(open_checkpoint(folder))


@pytest.mark.parametrize("kept", [0, 10, 100])
def test_the_index_is_truncated(folder, kept):
    os.truncate(folder / "ckpt-1.index", kept)
    with pytest.raises(ValueError, match=r"ckpt-1.index' is damaged"):
        open_checkpoint(folder)


def test_the_index_is_damaged(folder):
    damage(folder / "ckpt-1.index", 20)
    with pytest.raises(ValueError, match=r"ckpt-1.index' is damaged"):
        open_checkpoint(folder)


def test_no_weights(tmp_path):
    write_name_based_checkpoint(tmp_path / "ckpt-1", {"global_step": np.int64(1)})
    with pytest.raises(ValueError, match=r"ckpt-1' holds no weights"):
        open_checkpoint(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    with pytest.raises(ValueError, match=r"a.h5' holds no weights"):
        open_checkpoint(tmp_path / "a.h5")


def test_no_hdf5(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"a.h5' is damaged, or not HDF5"):
        open_checkpoint(tmp_path)


@pytest.mark.skipif(not (FULL / "checkpoints").is_dir(), reason="needs the full reference set")
def test_deeplab2s_own_checkpoint():
    reader = open_checkpoint(FULL / "checkpoints" / "imagenet_mobilenet_v3_small_encoder")
    weights = [key for key in reader if key.startswith("encoder/")]
    assert len(weights) == 206
    for key in weights:
        np.testing.assert_array_equal(reader[key], reference_weight(key, reader[key].shape))
    assert reader.path == pathlib.Path(reader.path.parent, "ckpt-1")
