import json

import numpy as np
import pytest

from keras_deeplab.data.coco import Coco, CocoPanoptic
from keras_deeplab.data.images import read_label
from keras_deeplab.data.writers import PredictionWriter
from keras_deeplab.labels import LABEL_SPACES, LabelSpace
from keras_deeplab.results import Segmentation
from tests.references import DATA, FULL, load_component
from tests.small_datasets import TWO_CATEGORIES, picture, rgb_ids, save, save_json, write_coco

REAL = DATA / "coco"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="needs the COCO samples")

GRASS = LABEL_SPACES["coco_panoptic"].classes.index("grass-merged")
# Void, persons 1 and 2 in the order of their ids, a crowd of persons, grass.
PANOPTIC = np.array([[0, 257, 257, 258], [256, 256, GRASS * 256, GRASS * 256]])


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_samples_hold_image_map_and_name(tmp_path):
    write_coco(tmp_path)
    reader = Coco(tmp_path, "val")
    assert reader.names == ["000000000139", "000000000285"]
    sample = reader[1]
    assert set(sample) == {"name", "image", "panoptic"}
    assert sample["image"].shape == (2, 4, 3)
    np.testing.assert_array_equal(sample["panoptic"], PANOPTIC)
    assert sample["panoptic"].dtype == np.int32
    assert reader.image_size == (2, 4)
    assert repr(reader) == f"Coco({str(tmp_path)!r}, split='val', 2 images)"


def test_the_label_space_may_come_from_the_file(tmp_path):
    write_coco(tmp_path, categories=TWO_CATEGORIES)
    annotations = tmp_path / "annotations/panoptic_val2017.json"
    for reader in (CocoPanoptic(tmp_path / "val2017", annotations), Coco(tmp_path, "val")):
        assert reader.label_space == LabelSpace.from_coco(TWO_CATEGORIES)
        np.testing.assert_array_equal(reader[0]["panoptic"], [[255000, 1, 1, 2], [0, 0, 1000, 1000]])


def test_the_categories_of_coco_are_its_label_space(tmp_path):
    write_coco(tmp_path)
    reader = CocoPanoptic(tmp_path / "val2017", tmp_path / "annotations/panoptic_val2017.json")
    assert reader.label_space is LABEL_SPACES["coco_panoptic"]
    np.testing.assert_array_equal(reader[0]["panoptic"], PANOPTIC)


@pytest.mark.parametrize("only", [{}, {"images": False}, {"labels": False}])
def test_images_come_by_name(tmp_path, only):
    write_coco(tmp_path, names=("000000000285", "000000000139"))
    annotations = tmp_path / "annotations/panoptic_val2017.json"
    images = None if only.pop("images", True) is False else tmp_path / "val2017"
    assert CocoPanoptic(images, annotations, **only).names == ["000000000139", "000000000285"]


def test_names_and_folders_may_be_any(tmp_path):
    ids = np.array([[1, 0]])
    save(tmp_path / "Bilder/Straße am Morgen/übung 1.png", picture(0, 1, 2))
    save(tmp_path / "Masken/Straße am Morgen/übung 1.png", rgb_ids(ids))
    save(tmp_path / "Bilder/not in the file.png", picture())
    annotations = save_json(
        tmp_path / "a.json",
        {
            "images": [{"id": "x", "file_name": "Straße am Morgen/übung 1.png"}],
            "annotations": [
                {
                    "image_id": "x",
                    "file_name": "Straße am Morgen/übung 1.png",
                    "segments_info": [{"id": 1, "category_id": 4}],
                }
            ],
            "categories": [{"id": 4, "name": "road", "isthing": 0}],
        },
    )
    reader = CocoPanoptic(tmp_path / "Bilder", annotations, tmp_path / "Masken")
    assert reader.names == ["Straße am Morgen/übung 1"]
    np.testing.assert_array_equal(reader[0]["panoptic"], [[0, 255000]])


def test_categories_that_the_label_space_lacks_are_void(tmp_path):
    write_coco(tmp_path)
    persons = LabelSpace("persons", ("person",), (0,), category_ids=(1,))
    panoptic = Coco(tmp_path, "val", label_space=persons)[0]["panoptic"]
    np.testing.assert_array_equal(panoptic, [[255000, 1, 1, 2], [0, 0, 255000, 255000]])


def test_images_or_labels_can_be_read_alone(tmp_path):
    write_coco(tmp_path)
    assert set(Coco(tmp_path, "val", labels=False)[0]) == {"name", "image"}
    assert set(Coco(tmp_path, "val", images=False)[0]) == {"name", "panoptic"}
    save(tmp_path / "test2017/000000000001.jpg", picture())
    assert Coco(tmp_path, "test", labels=None).names == ["000000000001"]
    listed = CocoPanoptic(tmp_path / "val2017", tmp_path / "annotations/panoptic_val2017.json", labels=False)
    assert listed.names == ["000000000139", "000000000285"]
    assert set(listed[0]) == {"name", "image"}


def test_missing_splits_are_named(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(ValueError, match=r"no images .*train2017.*Folders in .*: annotations, val2017\."):
        Coco(tmp_path, "train")
    save(tmp_path / "train2017/1.jpg", picture())
    with pytest.raises(ValueError, match=r"no labels .*panoptic_train2017\.json\. Pass labels=None"):
        Coco(tmp_path, "train")


def test_empty_folders_are_named(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "train2017").mkdir()
    with pytest.raises(ValueError, match=r"no images in .*train2017"):
        Coco(tmp_path, "train", labels=None)


def test_images_that_are_not_there_are_named(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "val2017/000000000285.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"1 images of .*json are not in .*val2017, the first is 000000000285"
    ):
        Coco(tmp_path, "val")


def test_label_files_that_are_not_there_are_named(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "annotations/panoptic_val2017/000000000139.png").unlink()
    with pytest.raises(ValueError, match=r"1 label files of .*json do not exist, .*000000000139\.png"):
        Coco(tmp_path, "val")


def test_images_without_annotation_are_named(tmp_path):
    write_coco(tmp_path)
    edit(tmp_path / "annotations/panoptic_val2017.json", lambda c: c["annotations"].pop())
    with pytest.raises(ValueError, match=r"1 images of .*json have no annotation, .*000000000285\.jpg"):
        Coco(tmp_path, "val")


def test_annotations_without_image_are_named(tmp_path):
    write_coco(tmp_path)
    edit(tmp_path / "annotations/panoptic_val2017.json", lambda c: c["images"].pop(0))
    with pytest.raises(ValueError, match=r"1 annotations of .*json belong to no image, .*000000000139\.png"):
        Coco(tmp_path, "val")


def test_segments_without_description_are_named_with_their_file(tmp_path):
    write_coco(tmp_path, segments=[{"id": 7, "category_id": 1}])
    with pytest.raises(ValueError, match=r"000000000139\.png: .*without a description: 9, 300, 65793"):
        Coco(tmp_path, "val").load_panoptic(0)


@pytest.mark.parametrize("label", [np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint16)])
def test_labels_of_another_kind_are_named(tmp_path, label):
    write_coco(tmp_path)
    save(tmp_path / "annotations/panoptic_val2017/000000000139.png", label)
    with pytest.raises(ValueError, match=r"000000000139\.png: A panoptic PNG must be 8-bit RGB"):
        Coco(tmp_path, "val")[0]


def test_more_instances_than_the_divisor_holds_are_named_with_their_file(tmp_path):
    ids = np.arange(1, 301).reshape(20, 15)
    segments = [{"id": int(i), "category_id": 1} for i in ids.ravel()]
    write_coco(tmp_path, names=("000000000139",), ids=ids, segments=segments)
    with pytest.raises(ValueError, match=r"000000000139\.png: A class has 300 instances.*256"):
        Coco(tmp_path, "val")[0]


def test_different_sizes_are_named(tmp_path):
    write_coco(tmp_path)
    save(tmp_path / "val2017/000000000139.jpg", picture(0, 3, 4))
    with pytest.raises(ValueError, match=r"139\.jpg is 3x4, but its label map .*139\.png is 2x4"):
        Coco(tmp_path, "val")[0]


@needs_real_data
@pytest.mark.parametrize("index", [0, 1])
def test_real_segments_have_the_areas_that_the_annotations_tell(index):
    reader = Coco(REAL, "val")
    content = json.loads((REAL / "annotations/panoptic_val2017.json").read_text())
    path = REAL / "annotations/panoptic_val2017" / f"{reader.names[index]}.png"
    red, green, blue = read_label(path).astype(int).transpose(2, 0, 1)
    ids, panoptic = red + 256 * green + 65536 * blue, reader.load_panoptic(index)
    (annotation,) = (a for a in content["annotations"] if a["image_id"] == int(reader.names[index]))
    values = set()
    for segment in annotation["segments_info"]:
        (value,) = np.unique(panoptic[ids == segment["id"]])
        assert (panoptic == value).sum() == segment["area"]
        assert reader.label_space.category_id(value // 256) == segment["category_id"]
        is_thing = value // 256 in reader.label_space.things
        assert (value % 256 > 0) == (is_thing and not segment["iscrowd"])
        values.add(value)
    assert values | {0} == set(np.unique(panoptic)) | {0}


@needs_real_data
@pytest.mark.skipif(not (FULL / "components").is_dir(), reason="needs the full reference set")
def test_a_real_map_is_what_deeplab2_trains_on():
    arrays, _ = load_component("c03_targets_coco", "full")
    sample = Coco(REAL, "val")[0]
    np.testing.assert_array_equal(sample["image"][::2, ::2], arrays["coco_train_resize/in/image"])
    ours = sample["panoptic"][::2, ::2]
    theirs = arrays["coco_train_resize/in/label"][..., 0]
    np.testing.assert_array_equal(ours // 256, theirs // 256)
    np.testing.assert_array_equal(ours % 256 == 0, theirs % 256 == 0)
    pairs = np.unique(ours.astype(np.int64) << 32 | theirs)
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs))  # the same but for instance numbers


@needs_real_data
def test_real_labels_are_perfect_predictions_to_panopticapi(tmp_path):
    evaluation = pytest.importorskip("panopticapi.evaluation")
    reader = Coco(REAL, "val")
    with PredictionWriter(tmp_path, reader.label_space) as writer:
        for sample in reader:
            writer.write(Segmentation(sample["panoptic"], reader.label_space), sample["name"])
    annotations = REAL / "annotations/panoptic_val2017"
    results = evaluation.pq_compute(
        str(annotations) + ".json",
        str(tmp_path / "panoptic.json"),
        str(annotations),
        str(tmp_path / "panoptic"),
    )
    assert results["All"]["pq"] == 1
    assert results["All"]["n"] == 8
