import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data.layout_writers.write import LAYOUTS as WRITTEN_LAYOUTS
from keras_deeplab.data.layouts import LAYOUTS
from keras_deeplab.data.prediction_writers.layouts import PREDICTION_LAYOUTS
from keras_deeplab.data.writers import (
    PredictionWriter,
    encode_categories,
    encode_coco,
    image_id,
    image_stem,
    write_file,
)
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from keras_deeplab.results import Segmentation


def test_write_file_replaces_the_whole_file(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_file(path, b"a longer first version")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["file.txt"]


def test_write_file_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_file(path, b"first")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize(
    ("name", "stem", "number"),
    [
        ("aachen_000000_000019", "aachen_000000_000019", "aachen_000000_000019"),
        ("aachen_000000_000019_leftImg8bit.png", "aachen_000000_000019", "aachen_000000_000019"),
        ("000000142238.jpg", "000000142238", 142238),
        ("0001/000012.png", "0001_000012", "0001_000012"),
        ("frame.0001", "frame.0001", "frame.0001"),
    ],
)
def test_image_names(name, stem, number):
    assert (image_stem(name), image_id(name)) == (stem, number)


def test_ids_beyond_one_byte():
    space = LabelSpace("cells", ("cell",), (0,), label_divisor=100_000)
    panoptic = np.arange(70_000).reshape(200, 350)
    picture, segments_info = encode_coco(panoptic, space)
    np.testing.assert_array_equal(picture.astype(int) @ [1, 256, 65536], 1 + panoptic)
    assert segments_info[-1]["id"] == 70_000


def test_void_categories():
    np.testing.assert_array_equal(encode_categories(np.array([[0, 13, 255]]), CITYSCAPES), [[7, 26, 0]])
    plain = LabelSpace("plain", ("road", "sky"))
    np.testing.assert_array_equal(encode_categories(np.array([[0, 1, 255]]), plain), [[0, 1, 255]])
    inside = LabelSpace("inside", ("void", "cat"), ignore_label=0)
    np.testing.assert_array_equal(encode_categories(np.array([[0, 1]]), inside), [[0, 1]])
    ade20k = LABEL_SPACES["ade20k_panoptic"]
    np.testing.assert_array_equal(encode_categories(np.array([[0, 1, 150]]), ade20k), [[255, 0, 149]])


def test_large_category_ids_need_16_bits():
    space = LabelSpace("large", ("a", "b"), category_ids=(1, 300))
    assert encode_categories(np.array([[0, 1]]), space).dtype == np.uint16


def test_writer_replaces_an_image_and_keeps_others(tmp_path):
    first = Segmentation(np.array([[0, 13_001]]), CITYSCAPES)
    second = Segmentation(np.array([[8_000, 13_001]]), CITYSCAPES)
    with PredictionWriter(tmp_path, CITYSCAPES) as writer:
        writer.write(first, "a")
        writer.write(first, "b")
    with PredictionWriter(tmp_path, CITYSCAPES) as writer:
        writer.write(second, "b")
    annotations = json.loads((tmp_path / "panoptic.json").read_text())["annotations"]
    categories = {a["image_id"]: [s["category_id"] for s in a["segments_info"]] for a in annotations}
    assert categories == {"a": [7, 26], "b": [21, 26]}


def test_writer_describes_images_and_categories(tmp_path):
    with PredictionWriter(tmp_path, CITYSCAPES) as writer:
        writer.write(Segmentation(np.zeros((2, 3), int), CITYSCAPES, name="a"))
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert content["images"] == [{"id": "a", "file_name": "a.png", "height": 2, "width": 3}]
    assert [(c["id"], c["isthing"]) for c in content["categories"][10:12]] == [(23, 0), (24, 1)]
    assert content["annotations"][0]["file_name"] == "a_panoptic.png"
    assert Image.open(tmp_path / "panoptic" / "a_panoptic.png").size == (3, 2)


def test_what_was_written_is_described_after_a_failure(tmp_path):
    def fail_after_one():
        with PredictionWriter(tmp_path, CITYSCAPES) as writer:
            writer.write(Segmentation(np.zeros((2, 3), int), CITYSCAPES), "a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_after_one()
    assert len(json.loads((tmp_path / "panoptic.json").read_text())["annotations"]) == 1


def test_semantic_results_have_no_panoptic_files(tmp_path):
    with PredictionWriter(tmp_path, CITYSCAPES) as writer:
        writer.write(Segmentation(None, CITYSCAPES, semantic=np.zeros((2, 3), int)), "a")
    assert sorted(os.listdir(tmp_path)) == ["semantic"]


def test_writer_refuses_a_folder_of_other_categories(tmp_path):
    with PredictionWriter(tmp_path, CITYSCAPES) as writer:
        writer.write(Segmentation(np.zeros((2, 3), int), CITYSCAPES), "a")
    with pytest.raises(ValueError, match="other categories"):
        PredictionWriter(tmp_path, LabelSpace("pets", ("cat",)))


@pytest.mark.parametrize(
    ("space", "layout"),
    [
        (CITYSCAPES, "cityscapes"),
        (LABEL_SPACES["ade20k_panoptic"], "ade20k"),
        ("coco_panoptic", "coco"),
        ("kitti_step", "coco"),  # the ids of whose classes are not those of Cityscapes
        (LabelSpace("pets", ("cat",)), "coco"),
    ],
)
def test_the_label_space_gives_the_layout(tmp_path, space, layout):
    assert PredictionWriter(tmp_path, space).layout == layout


def test_names_of_layouts_are_those_of_datasets():
    # Nobody collects predictions for these.
    assert set(LAYOUTS) - set(PREDICTION_LAYOUTS) == {"camvid", "waymo"}
    assert set(PREDICTION_LAYOUTS) <= set(LAYOUTS)
    assert set(WRITTEN_LAYOUTS) <= set(PREDICTION_LAYOUTS)


def test_unknown_layouts_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'auto' or one of cityscapes, coco, .*Received: layout='kitti'"):
        PredictionWriter(tmp_path, CITYSCAPES, "kitti")


@pytest.mark.parametrize("layout", [name for name in PREDICTION_LAYOUTS if name != "coco"])
def test_layouts_name_the_classes_that_they_lack(tmp_path, layout):
    with pytest.raises(ValueError, match=r"'pets' has others: cat, dog. Write it in the layout 'coco'"):
        PredictionWriter(tmp_path, LabelSpace("pets", ("cat", "dog")), layout)


@pytest.mark.parametrize("layout", PREDICTION_LAYOUTS)
def test_maps_of_other_classes_are_refused(tmp_path, layout):
    space = LABEL_SPACES[PREDICTION_LAYOUTS[layout].label_space or "cityscapes"]
    wrong = Segmentation(np.array([[200 * space.label_divisor]]), space, depth=np.ones((1, 1)))
    with (
        PredictionWriter(tmp_path, space, layout) as writer,
        pytest.raises(ValueError, match=r"Prediction '000000_000000': .* class 200"),
    ):
        writer.write(wrong, "000000_000000")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("layout", ["cityscapes", "coco", "ade20k"])
def test_images_need_a_name(tmp_path, layout):
    space = LABEL_SPACES[PREDICTION_LAYOUTS[layout].label_space or "cityscapes"]
    with (
        PredictionWriter(tmp_path, space, layout) as writer,
        pytest.raises(ValueError, match="needs a name"),
    ):
        writer.write(Segmentation(np.array([[space.void]]), space))
