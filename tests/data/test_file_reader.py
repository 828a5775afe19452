import numpy as np
import pytest

from keras_deeplab.data.file_reader import FileReader
from keras_deeplab.data.images import ImageError
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.labels import CITYSCAPES
from tests.small_datasets import picture, save


class Reader(FileReader):
    def decode_label(self, label, path):
        return make_panoptic(label, None, self.label_space)


@pytest.fixture
def video(tmp_path):
    names = {"b/9": ("b", 9), "b/10": ("b", 10), "a/2": ("a", 2)}
    depth = np.array([[0, 128], [256, 65535]], np.uint16)
    images, labels, depths = (
        {name: save(tmp_path / kind / f"{name}.png", array) for name in names}
        for kind, array in (
            ("images", picture(0, 2, 2)),
            ("labels", np.array([[0, 13], [255, 0]], np.uint8)),
            ("depths", depth),
        )
    )
    return Reader(images, labels, CITYSCAPES, depths, names)


def test_frames_come_by_sequence_and_number(video):
    assert video.names == ["a/2", "b/9", "b/10"]
    assert (video.sequences, video.frames) == (["a", "b", "b"], [2, 9, 10])


def test_samples_hold_everything_that_is_read(video):
    sample = video[2]
    assert (sample["name"], sample["sequence"], sample["frame"]) == ("b/10", "b", 10)
    np.testing.assert_array_equal(sample["image"], picture(0, 2, 2))
    np.testing.assert_array_equal(sample["panoptic"], [[0, 13000], [255000, 0]])
    np.testing.assert_array_equal(sample["depth"], np.float32([[0, 0.5], [1, 65535 / 256]]))
    assert sample["depth"].dtype == np.float32


def test_readers_are_sequences(video):
    assert len(video) == 3
    assert [sample["name"] for sample in video] == video.names
    assert video[-1]["name"] == "b/10"
    with pytest.raises(IndexError):
        video[3]


def test_parts_can_be_loaded_alone(video):
    np.testing.assert_array_equal(video.load_image(0), picture(0, 2, 2))
    np.testing.assert_array_equal(video.load_depth(0), video[0]["depth"])


def test_parts_that_are_not_read_are_named(tmp_path):
    images = {"a": save(tmp_path / "a.png", picture())}
    labels = {"a": save(tmp_path / "label.png", np.zeros((4, 6), np.uint8))}
    with pytest.raises(ValueError, match="labels=None"):
        Reader(images, None, CITYSCAPES).load_panoptic(0)
    with pytest.raises(ValueError, match="images=False"):
        Reader(None, labels, CITYSCAPES).load_image(0)
    with pytest.raises(ValueError, match="no depth maps"):
        Reader(images, labels, CITYSCAPES).load_depth(0)
    with pytest.raises(ValueError, match="Nothing to read"):
        Reader(None, None, CITYSCAPES)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_depth_must_have_16_bits(tmp_path, dtype):
    depth = {"a": save(tmp_path / "depth.tif", np.zeros((4, 6), dtype))}
    images = {"a": save(tmp_path / "a.png", picture())}
    with pytest.raises(ImageError, match=r"depth\.tif must be a 16-bit grey PNG"):
        Reader(images, None, CITYSCAPES, depth)[0]


@pytest.mark.parametrize(("kind", "index"), [("label map", 1), ("depth map", 2)])
def test_different_sizes_are_named(tmp_path, kind, index):
    arrays = [picture(), np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint16)]
    arrays[index] = arrays[index][:, :5]
    images, labels, depths = ({"a": save(tmp_path / f"{i}.png", array)} for i, array in enumerate(arrays))
    with pytest.raises(ValueError, match=rf"0\.png is 4x6, but its {kind} .*{index}\.png is 4x5"):
        Reader(images, labels, CITYSCAPES, depths)[0]


def test_files_that_vanished_are_named(video, tmp_path):
    (tmp_path / "labels/a/2.png").unlink()
    with pytest.raises(ImageError, match=r"no image file .*labels/a/2\.png"):
        video[0]
