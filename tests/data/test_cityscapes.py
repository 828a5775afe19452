import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data.cityscapes import Cityscapes, panoptic_from_instance_ids
from keras_deeplab.labels import CITYSCAPES
from tests.references import DATA, FULL, load_component

REAL = DATA / "cityscapes"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="needs the Cityscapes samples")

# Unlabelled, road, two cars, a crowd of persons, caravan 0 (not a class of the label space).
INSTANCE_IDS = np.array([[0, 7, 7, 26000], [26001, 26001, 24, 29000]], np.uint16)
PANOPTIC = np.array([[255000, 0, 0, 13001], [13002, 13002, 11000, 255000]])
SEGMENTS = [(7, 7, 0), (26000, 26, 0), (26001, 26, 0), (24, 24, 1)]


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_frame(root, name="aachen_000000_000019", split="train", image=True, label=True):
    city = name.split("_")[0]
    if image:
        pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        save(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", pixels)
    if label:
        save(root / f"gtFine/{split}/{city}/{name}_gtFine_instanceIds.png", INSTANCE_IDS)


def write_panoptic(root, name="aachen_000000_000019", split="train", train_ids=False):
    folder = root / "gtFine" / f"cityscapes_panoptic_{split}{'_trainId' if train_ids else ''}"
    ids = np.where(INSTANCE_IDS == 29000, 0, INSTANCE_IDS)
    save(
        folder / f"{name}_gtFine_panoptic.png",
        np.stack([ids % 256, ids // 256, ids * 0], -1).astype(np.uint8),
    )
    segments = [
        {
            "id": segment,
            "category_id": CITYSCAPES.category_ids.index(category) if train_ids else category,
            "iscrowd": crowd,
        }
        for segment, category, crowd in SEGMENTS
    ]
    annotation = {"file_name": f"{name}_gtFine_panoptic.png", "image_id": name, "segments_info": segments}
    folder.with_name(folder.name + ".json").write_text(json.dumps({"annotations": [annotation]}))


def test_samples_hold_image_map_and_name(tmp_path):
    write_frame(tmp_path)
    sample = Cityscapes(tmp_path)[0]
    np.testing.assert_array_equal(sample["image"], np.arange(24).reshape(2, 4, 3))
    np.testing.assert_array_equal(sample["panoptic"], PANOPTIC)
    assert sample["panoptic"].dtype == np.int32
    assert sample["name"] == "aachen_000000_000019"


@pytest.mark.parametrize("train_ids", [False, True])
def test_panoptic_pngs_give_the_same_map(tmp_path, train_ids):
    write_frame(tmp_path, label=False)
    write_panoptic(tmp_path, train_ids=train_ids)
    reader = Cityscapes(tmp_path)
    assert reader.labels == "panoptic"
    np.testing.assert_array_equal(reader[0]["panoptic"], PANOPTIC)


def test_instance_ids_come_first(tmp_path):
    write_frame(tmp_path)
    write_panoptic(tmp_path)
    assert Cityscapes(tmp_path).labels == "instance_ids"
    assert Cityscapes(tmp_path, labels="panoptic").labels == "panoptic"


def test_frames_are_sorted_over_cities(tmp_path):
    for name in ("zurich_000000_000019", "aachen_000001_000019", "aachen_000000_000019"):
        write_frame(tmp_path, name)
    reader = Cityscapes(tmp_path)
    assert len(reader) == 3
    assert reader.names == ["aachen_000000_000019", "aachen_000001_000019", "zurich_000000_000019"]


def test_image_size_comes_from_the_files(tmp_path):
    write_frame(tmp_path)
    assert Cityscapes(tmp_path).image_size == (2, 4)


def test_labels_can_be_read_alone(tmp_path):
    write_frame(tmp_path, split="val", image=False)
    reader = Cityscapes(tmp_path, "val", images=False)
    assert set(reader[0]) == {"panoptic", "name"}
    np.testing.assert_array_equal(reader.load_panoptic(0), PANOPTIC)


def test_images_can_be_read_alone(tmp_path):
    write_frame(tmp_path, label=False)
    reader = Cityscapes(tmp_path, labels=None)
    assert set(reader[0]) == {"image", "name"}
    with pytest.raises(ValueError, match="labels=None"):
        reader.load_panoptic(0)


def test_missing_root_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere does not exist"):
        Cityscapes(tmp_path / "nowhere")


def test_a_folder_of_something_else_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds neither leftImg8bit nor gtFine"):
        Cityscapes(tmp_path)


def test_missing_splits_list_the_existing_ones(tmp_path):
    write_frame(tmp_path)
    with pytest.raises(ValueError, match=r"no images .*test.*Splits in .*: train\."):
        Cityscapes(tmp_path, "test")


def test_missing_labels_are_named(tmp_path):
    write_frame(tmp_path, label=False)
    with pytest.raises(ValueError, match=r"no labels .*instanceIds.png or .*panoptic.png.*labels=None"):
        Cityscapes(tmp_path)


def test_images_without_labels_are_named(tmp_path):
    write_frame(tmp_path)
    write_frame(tmp_path, "bonn_000000_000019", label=False)
    with pytest.raises(ValueError, match=r"1 of 2 images have no labels.*bonn_000000_000019_leftImg8bit.png"):
        Cityscapes(tmp_path)


def test_labels_without_images_are_named(tmp_path):
    write_frame(tmp_path)
    write_frame(tmp_path, "bonn_000000_000019", image=False)
    with pytest.raises(ValueError, match=r"1 of 2 label maps have no image.*bonn.*images=False"):
        Cityscapes(tmp_path)


def test_different_sizes_are_named(tmp_path):
    write_frame(tmp_path)
    save(
        tmp_path / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
        np.zeros((3, 4, 3), np.uint8),
    )
    with pytest.raises(ValueError, match=r"leftImg8bit.png is 3x4, but its label map .* is 2x4"):
        Cityscapes(tmp_path)[0]


def test_unknown_ids_are_named_with_their_file(tmp_path):
    write_frame(tmp_path)
    path = tmp_path / "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png"
    save(path, np.array([[34, 7, 35001, 999]], np.uint16))
    with pytest.raises(ValueError, match=r"instanceIds.png: unknown instance ids 34, 999, 35001"):
        Cityscapes(tmp_path).load_panoptic(0)


def test_missing_json_is_named(tmp_path):
    write_panoptic(tmp_path)
    (tmp_path / "gtFine/cityscapes_panoptic_train.json").unlink()
    with pytest.raises(ValueError, match=r"need .*cityscapes_panoptic_train.json"):
        Cityscapes(tmp_path, images=False)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"annotations": [{"file_name": "a.png"}]}'])
def test_broken_json_is_named(tmp_path, text):
    write_panoptic(tmp_path)
    (tmp_path / "gtFine/cityscapes_panoptic_train.json").write_text(text)
    with pytest.raises(ValueError, match=r"cityscapes_panoptic_train.json is not a panoptic annotation file"):
        Cityscapes(tmp_path, images=False)


def test_maps_that_the_json_does_not_describe_are_named(tmp_path):
    write_panoptic(tmp_path)
    write_panoptic(tmp_path, "bonn_000000_000019")  # its JSON replaces the first one
    with pytest.raises(ValueError, match=r"aachen.*panoptic.png: .*train.json does not describe it"):
        Cityscapes(tmp_path, images=False)[0]


@pytest.mark.parametrize("labels", ["labelIds", 3])
def test_unknown_forms_of_labels_are_refused(tmp_path, labels):
    with pytest.raises(ValueError, match="`labels` must be"):
        Cityscapes(tmp_path, labels=labels)


def test_reading_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Nothing to read"):
        Cityscapes(tmp_path, labels=None, images=False)


def test_instances_beyond_the_divisor_are_refused():
    space = dataclasses.replace(CITYSCAPES, label_divisor=10)
    np.testing.assert_array_equal(panoptic_from_instance_ids(np.array([[26008]]), space), [[139]])
    with pytest.raises(ValueError, match=r"26009.*`label_divisor` 10"):
        panoptic_from_instance_ids(np.array([[26009]]), space)


@pytest.mark.parametrize("ids", [[[-1]], [[34000]], [[65535]]])
def test_ids_outside_of_the_table_are_refused(ids):
    with pytest.raises(ValueError, match="unknown instance ids"):
        panoptic_from_instance_ids(np.array(ids))


def test_color_labels_are_refused():
    with pytest.raises(ValueError, match=r"must have shape \[H, W\]"):
        panoptic_from_instance_ids(np.zeros((2, 2, 3), np.uint8))


def test_stuff_has_no_instances_even_where_ids_have():
    np.testing.assert_array_equal(panoptic_from_instance_ids(np.array([[7000, 7001]])), [[0, 0]])


def test_train_ids_beyond_the_classes_are_refused(tmp_path):
    write_panoptic(tmp_path, train_ids=True)
    path = tmp_path / "gtFine/cityscapes_panoptic_train_trainId.json"
    path.write_text(path.read_text().replace('"category_id": 13', '"category_id": 255'))
    with pytest.raises(ValueError, match=r"trainId\.json holds category ids that are no train ids"):
        Cityscapes(tmp_path, images=False)


def test_label_table_is_that_of_the_official_scripts():
    official = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    for label in official:
        if label.id < 0:
            continue
        void = label.trainId in (-1, 255)
        expected = CITYSCAPES.void if void else label.trainId * 1000
        first = expected + (label.hasInstances and not void)
        np.testing.assert_array_equal(
            panoptic_from_instance_ids(np.array([[label.id, label.id * 1000]] if label.id else [[0, 0]])),
            [[expected, first if label.id else expected]],
            err_msg=label.name,
        )
        if not void:
            assert CITYSCAPES.classes[label.trainId] == label.name
            assert CITYSCAPES.colors[label.trainId] == label.color


@needs_real_data
@pytest.mark.parametrize(("split", "frames"), [("train", 8), ("val", 15)])
def test_both_forms_of_real_labels_have_the_same_segments(split, frames):
    by_instance_ids = Cityscapes(REAL, split, labels="instance_ids", images=False)
    by_panoptic = Cityscapes(REAL, split, labels="panoptic", images=False)
    assert by_instance_ids.names == by_panoptic.names
    assert len(by_panoptic) == frames
    for i in range(0, frames, 4):
        first, second = by_instance_ids.load_panoptic(i), by_panoptic.load_panoptic(i)
        np.testing.assert_array_equal(first // 1000, second // 1000)
        pairs = np.unique(first.astype(np.int64) << 32 | second)
        assert len(pairs) == len(np.unique(first)) == len(np.unique(second))
        crowd_pairs = pairs[(pairs >> 32) % 1000 == 0]
        assert ((crowd_pairs & 0xFFFFFFFF) % 1000 == 0).all()


@needs_real_data
def test_real_frames_are_read_at_full_size():
    train = Cityscapes(REAL)
    sample = train[0]
    assert train.image_size == (1024, 2048)
    assert sample["image"].shape == (1024, 2048, 3)
    assert sample["panoptic"].shape == (1024, 2048)


@needs_real_data
def test_a_split_without_images_says_how_to_read_it():
    with pytest.raises(ValueError, match="images=False"):
        Cityscapes(REAL, "val")


@needs_real_data
@pytest.mark.skipif(not (FULL / "components").is_dir(), reason="needs the full reference set")
@pytest.mark.parametrize(
    ("case", "frame", "top", "left"), [("city257x513_plain", 0, 380, 700), ("city_flip", 1, 380, 900)]
)
def test_real_frames_are_what_deeplab2_trains_on(case, frame, top, left):
    arrays, _ = load_component("c03_targets_cityscapes", "full")
    image, label = arrays[f"{case}/in/image"], arrays[f"{case}/in/label"][..., 0]
    window = np.s_[top : top + image.shape[0], left : left + image.shape[1]]
    sample = Cityscapes(REAL)[frame]
    np.testing.assert_array_equal(sample["image"][window], image)
    np.testing.assert_array_equal(sample["panoptic"][window], label)
