"""`segment` on images of every kind, good and bad."""

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.labels import LabelSpace
from keras_deeplab.models.inference import segment_images
from keras_deeplab.models.preprocessor import SegmenterPreprocessor


class BrightnessModel:
    """Calls bright pixels class 1, with the interface that `segment_images` takes."""

    label_space = LabelSpace("brightness", classes=("dark", "bright"), label_divisor=10)
    preprocessor = SegmenterPreprocessor((33, 49))

    def __init__(self):
        self.batches = []

    def predict(self, x, batch_size, verbose):
        self.batches.append(x.shape)
        semantic = (x.mean(axis=-1) > 128).astype("int32")
        return {"panoptic": semantic * 10, "semantic": semantic, "centers": np.zeros((len(x), 4, 3))}


@pytest.fixture
def model():
    return BrightnessModel()


def half_bright(height=20, width=30):
    image = np.zeros((height, width), "uint8")
    image[:, width // 2 :] = 255
    return image


@pytest.mark.parametrize(
    "image",
    [
        half_bright(),
        half_bright()[..., None],
        np.repeat(half_bright()[..., None], 4, axis=-1),
        half_bright().astype("float32"),
        half_bright().astype("uint16") * 257,
        Image.fromarray(half_bright()),
        Image.fromarray(half_bright()).convert("RGBA"),
        Image.fromarray(half_bright()).convert("P"),
    ],
    ids=["grey", "one channel", "alpha", "float", "16 bit", "PIL grey", "PIL alpha", "PIL palette"],
)
def test_images_in_memory(model, image):
    result = segment_images(model, image)
    np.testing.assert_array_equal(result.semantic, half_bright() > 0)
    assert result.image.shape == (20, 30, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_images_in_files(model, tmp_path, mode):
    image = Image.fromarray(half_bright())
    image = Image.fromarray(half_bright().astype("uint16") * 257) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "street.png")
    result = segment_images(model, tmp_path / "street.png")
    np.testing.assert_array_equal(result.semantic, half_bright() > 0)
    assert result.name == "street"


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (300, 2)])
def test_odd_sizes_come_back(model, size):
    assert segment_images(model, np.zeros((*size, 3), "uint8")).panoptic.shape == size


def test_a_folder_is_segmented_in_order(model, tmp_path):
    for name in ("b", "a"):
        Image.fromarray(half_bright()).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    assert [result.name for result in segment_images(model, tmp_path, batch_size=2)] == ["a", "b"]
    assert model.batches == [(2, 33, 49, 3)]


def test_an_iterator_is_read_no_further_than_needed(model):
    taken = []

    def images():
        for i in range(5):
            taken.append(i)
            yield half_bright()

    results = segment_images(model, images(), batch_size=2)
    next(results)
    assert taken == [0, 1]
    assert len(list(results)) == 4


def write(path, content):
    path.write_bytes(content)
    return path


def test_bad_files_are_named(model, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype="uint8")).save(
        tmp_path / "good.png"
    )
    content = (tmp_path / "good.png").read_bytes()
    cases = {
        "truncated.png": content[: len(content) // 2],
        "text.jpg": b"this is no image",
        "empty.png": b"",
    }
    for name, content in cases.items():
        with pytest.raises(ValueError, match=name):
            segment_images(model, write(tmp_path / name, content))
    with pytest.raises(ValueError, match=r"missing\.png"):
        segment_images(model, tmp_path / "missing.png")


def test_a_folder_without_images_is_named(model, tmp_path):
    with pytest.raises(ValueError, match=tmp_path.name):
        segment_images(model, tmp_path)


@pytest.mark.parametrize("thing", [3, np.zeros((2, 3, 7), "uint8"), np.array(["a"])])
def test_what_is_no_image_is_refused(model, thing):
    with pytest.raises(ValueError, match=r"Cannot segment|image"):
        segment_images(model, thing)
