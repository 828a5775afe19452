import numpy as np
import pytest

from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.labels import CITYSCAPES

IMAGES = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
MAPS = np.full((2, 4, 5), 7000, np.int64)


def test_samples_are_those_of_the_arrays():
    sample = ArrayReader(IMAGES, MAPS, CITYSCAPES)[1]
    np.testing.assert_array_equal(sample["image"], IMAGES[1])
    np.testing.assert_array_equal(sample["panoptic"], MAPS[1])
    assert sample["panoptic"].dtype == np.int32
    assert sample["name"] == "1"


def test_images_may_differ_in_size():
    reader = ArrayReader([IMAGES[0], IMAGES[1, :2]], [MAPS[0], MAPS[1, :2]], CITYSCAPES, names=["a", "b"])
    assert [reader[i]["image"].shape[0] for i in range(len(reader))] == [4, 2]
    assert reader[1]["name"] == "b"


def test_float_images_become_8_bit():
    np.testing.assert_array_equal(ArrayReader(IMAGES.astype(float), None, CITYSCAPES)[0]["image"], IMAGES[0])


def test_without_maps_samples_hold_images():
    assert set(ArrayReader(IMAGES, None, CITYSCAPES)[0]) == {"image", "name"}


@pytest.mark.parametrize(
    ("images", "maps", "names", "message"),
    [
        (IMAGES[:0], None, None, "`images` is empty"),
        (IMAGES, MAPS[:1], None, "2 `images` but 1 `panoptic_maps`"),
        (IMAGES, MAPS, ["a"], "2 `images` but 1 `names`"),
    ],
)
def test_wrong_lengths_are_refused(images, maps, names, message):
    with pytest.raises(ValueError, match=message):
        ArrayReader(images, maps, CITYSCAPES, names)


def test_maps_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"image '1' has shape \(3, 5\), but the image is 4x5"):
        ArrayReader(IMAGES, [MAPS[0], MAPS[1, :3]], CITYSCAPES)[1]


def test_maps_of_fractions_are_refused():
    with pytest.raises(ValueError, match="image '0' must hold integers"):
        ArrayReader(IMAGES, MAPS.astype(float), CITYSCAPES)[0]


def test_unusable_images_are_named():
    with pytest.raises(ValueError, match="Image '0': An image must hold values"):
        ArrayReader([IMAGES[0] + 300.0], None, CITYSCAPES)[0]
