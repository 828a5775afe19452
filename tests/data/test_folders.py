import dataclasses
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_deeplab.data.folders import ImageFolder
from keras_deeplab.data.images import ImageError
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from tests.references import DATA
from tests.small_datasets import picture, rgb_ids, save, write_camvid

SPACE = LabelSpace(
    "harbour",
    classes=("water", "quay", "boat"),
    things=(2,),
    colors=((0, 0, 255), (128, 128, 128), (255, 0, 0)),
    category_ids=(10, 20, 30),
)
CAMVID = LabelSpace(
    "camvid",
    classes=(
        *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian"),
        "bicyclist",
    ),
    ignore_label=11,
)


def write(root, mask, name="a", extension=".png"):
    save(root / "images" / f"{name}.jpg", picture(0, *mask.shape[:2]))
    save(root / "masks" / f"{name}{extension}", mask)
    return root / "images", root / "masks"


def test_masks_of_classes_are_the_default(tmp_path):
    folders = write(tmp_path, np.array([[0, 1], [2, 255]], np.uint8), "monday/a 1")
    reader = ImageFolder(*folders, SPACE)
    sample = reader[0]
    assert sample["name"] == "monday/a 1"
    np.testing.assert_array_equal(sample["panoptic"], [[0, 1000], [2000, 255000]])
    assert sample["image"].shape == (2, 2, 3)
    images, masks = map(str, folders)
    assert repr(reader) == f"ImageFolder({images!r}, {masks!r}, label_space='harbour', 1 images)"


def test_label_spaces_go_by_name(tmp_path):
    folders = write(tmp_path, np.array([[0, 133]], np.uint8))
    reader = ImageFolder(*folders, "coco_panoptic")
    assert reader.label_space is LABEL_SPACES["coco_panoptic"]
    np.testing.assert_array_equal(reader[0]["panoptic"], [[0, 133 * 256]])


def test_masks_may_be_palette_grey_in_rgb_or_16_bit(tmp_path):
    classes = np.array([[0, 2]], np.uint8)
    palette = Image.fromarray(classes, "L").convert("P")
    palette.putpalette([7, 8, 9] * 256)
    folders = write(tmp_path, classes.astype(np.uint16), "deep")
    write(tmp_path, np.repeat(classes[..., None], 3, -1), "rgb")
    write(tmp_path, classes, "palette")
    palette.save(tmp_path / "masks/palette.png")
    for sample in ImageFolder(*folders, SPACE):
        np.testing.assert_array_equal(sample["panoptic"], [[0, 2000]], err_msg=sample["name"])


def test_masks_may_hold_categories(tmp_path):
    folders = write(tmp_path, np.array([[10, 20, 30, 255, 7]], np.uint8))
    reader = ImageFolder(*folders, SPACE, values="category", void_values=[7])
    np.testing.assert_array_equal(reader[0]["panoptic"], [[0, 1000, 2000, 255000, 255000]])


def test_masks_of_categories_know_the_void_class(tmp_path):
    folders = write(tmp_path, np.array([[0, 200]], np.uint8))
    panoptic = ImageFolder(*folders, "coco_panoptic", values="category")[0]["panoptic"]
    np.testing.assert_array_equal(panoptic, [[0, 133 * 256]])


@pytest.mark.parametrize("in_rgb", [False, True])
def test_masks_may_hold_panoptic_ids(tmp_path, in_rgb):
    ids = np.array([[0, 1000, 2000, 2999, 60000]])
    folders = write(tmp_path, rgb_ids(ids) if in_rgb else ids.astype(np.uint16))
    reader = ImageFolder(*folders, SPACE, values="panoptic", void_values=[60])
    np.testing.assert_array_equal(reader[0]["panoptic"], [[0, 1000, 2000, 2999, 255000]])


def test_panoptic_ids_beyond_16_bits_are_read_from_rgb(tmp_path):
    folders = write(tmp_path, rgb_ids(np.array([[255000, 255001, 2001]])))
    panoptic = ImageFolder(*folders, SPACE, values="panoptic")[0]["panoptic"]
    np.testing.assert_array_equal(panoptic, [[255000, 255000, 2001]])


def test_masks_may_be_in_the_colors_of_the_classes(tmp_path):
    colors = np.array([[[0, 0, 255], [128, 128, 128], [255, 0, 0], [0, 0, 0], [9, 9, 9]]], np.uint8)
    folders = write(tmp_path, colors)
    reader = ImageFolder(*folders, SPACE, values="color", void_values=[(9, 9, 9)])
    np.testing.assert_array_equal(reader[0]["panoptic"], [[0, 1000, 2000, 255000, 255000]])


def test_black_may_be_the_color_of_a_class(tmp_path):
    space = dataclasses.replace(SPACE, colors=((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    folders = write(tmp_path, np.array([[0, 2]], np.uint8))
    np.testing.assert_array_equal(ImageFolder(*folders, space, values="color")[0]["panoptic"], [[0, 2000]])


@pytest.mark.parametrize(
    ("values", "mask", "problem"),
    [
        ("class", np.array([[0, 3, 99]], np.uint8), "`panoptic` holds the class 3, 99,"),
        ("class", np.array([[[1, 2, 3]]], np.uint8), "is in colours"),
        ("category", np.array([[10, 0, 31]], np.uint8), "holds 0, 31, which .*'harbour' does not know"),
        ("panoptic", np.array([[3000]], np.uint16), "`panoptic` holds the class 3,"),
        ("panoptic", np.array([[1001]], np.uint16), r"instances of 'quay' \(1\)"),
        ("panoptic", np.array([[1]], np.uint8), r"8-bit mask cannot hold class \* 1000"),
        ("panoptic", np.array([[[1, 2, 3]]], np.uint8), "`panoptic` holds the class 197,"),
        ("color", np.array([[[1, 2, 3], [255, 0, 1]]], np.uint8), "holds #010203, #ff0001"),
    ],
)
def test_unknown_values_are_named_with_their_file(tmp_path, values, mask, problem):
    folders = write(tmp_path, mask)
    with pytest.raises(ValueError, match=rf"masks/a\.png: .*{problem}"):
        ImageFolder(*folders, SPACE, values=values)[0]


def test_negative_values_are_refused(tmp_path):
    folders = write(tmp_path, np.array([[-5]], np.int32), extension=".tif")
    for values in ("class", "panoptic"):
        with pytest.raises(ValueError, match=r"a\.tif: `panoptic` holds the class -"):
            ImageFolder(*folders, SPACE, values=values)[0]


def test_colors_must_tell_classes_apart(tmp_path):
    with pytest.raises(ValueError, match=r"Classes of the label space 'waymo' share a colour"):
        ImageFolder(tmp_path, tmp_path, "waymo", values="color")


def test_images_and_masks_may_share_a_folder(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}_image.png", picture(0, 1, 2))
        save(tmp_path / f"{name}_mask.png", np.array([[0, 1]], np.uint8))
    reader = ImageFolder(tmp_path, tmp_path, SPACE, image_suffix="_image", mask_suffix="_mask")
    assert reader.names == ["a", "b"]
    with pytest.raises(ValueError, match=r"both lie in .*Pass `mask_suffix`"):
        ImageFolder(tmp_path, tmp_path, SPACE)


def test_plain_images_and_masks_with_a_suffix_may_share_a_folder(tmp_path):
    save(tmp_path / "a.jpg", picture(0, 1, 2))
    save(tmp_path / "a_mask.png", np.array([[0, 1]], np.uint8))
    assert ImageFolder(tmp_path, tmp_path, SPACE, mask_suffix="_mask").names == ["a"]


def test_images_or_masks_can_be_read_alone(tmp_path):
    images, masks = write(tmp_path, np.zeros((1, 1), np.uint8))
    assert set(ImageFolder(images, None, SPACE)[0]) == {"name", "image"}
    assert set(ImageFolder(None, masks, SPACE)[0]) == {"name", "panoptic"}
    with pytest.raises(ValueError, match="Nothing to read"):
        ImageFolder(None, None, SPACE)


def test_names_of_one_folder_alone_are_refused_or_skipped(tmp_path):
    folders = write(tmp_path, np.zeros((1, 1), np.uint8))
    write(tmp_path, np.zeros((1, 1), np.uint8), "b")
    (tmp_path / "masks/a.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 2 images have no mask of the same name, .*images/a\.jpg"):
        ImageFolder(*folders, SPACE)
    assert ImageFolder(*folders, SPACE, skip_unmatched=True).names == ["b"]
    (tmp_path / "images/b.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 1 images have no mask of the same name"):
        ImageFolder(*folders, SPACE, skip_unmatched=True)


def test_missing_and_empty_folders_are_named(tmp_path):
    images, masks = write(tmp_path, np.zeros((1, 1), np.uint8))
    with pytest.raises(ValueError, match=r"The image folder .*nowhere does not exist"):
        ImageFolder(tmp_path / "nowhere", masks, SPACE)
    with pytest.raises(ValueError, match=r"The mask folder .*nowhere does not exist"):
        ImageFolder(images, tmp_path / "nowhere", SPACE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no images .*empty"):
        ImageFolder(tmp_path / "empty", masks, SPACE)
    with pytest.raises(ValueError, match=r"no labels .*empty.*Masks are lossless pictures"):
        ImageFolder(images, tmp_path / "empty", SPACE)


def test_unknown_kinds_of_values_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`values` must be one of \('class', .*'colour'"):
        ImageFolder(tmp_path, tmp_path, SPACE, values="colour")


def test_jpeg_named_as_png_is_refused(tmp_path):
    folders = write(tmp_path, np.zeros((1, 1), np.uint8))
    Image.new("L", (1, 1)).save(tmp_path / "masks/a.png", "JPEG")
    with pytest.raises(ImageError, match=r"a\.png is a JPEG, which changes the values"):
        ImageFolder(*folders, SPACE)[0]


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_links_in_a_circle_do_not_hang(tmp_path):
    images, masks = write(tmp_path, np.zeros((1, 1), np.uint8), "ü/路 1")
    (images / "again").symlink_to(images)
    (masks / "ü/up").symlink_to(masks)
    assert ImageFolder(images, masks, SPACE).names == ["ü/路 1"]


@given(st.data())
def test_colors_and_categories_tell_the_same_as_classes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("folder")
    classes = np.array([data.draw(st.lists(st.integers(0, 18), min_size=1, max_size=8))], np.uint8)
    masks = {
        "class": classes,
        "category": np.array(CITYSCAPES.category_ids, np.uint8)[classes],
        "panoptic": classes.astype(np.uint16) * 1000,
        "color": np.array(CITYSCAPES.colors, np.uint8)[classes],
    }
    for values, mask in masks.items():
        save(folder / values / "a.png", mask)
        panoptic = ImageFolder(None, folder / values, CITYSCAPES, values=values)[0]["panoptic"]
        np.testing.assert_array_equal(panoptic, classes.astype(int) * 1000)


@pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="needs the CamVid samples")
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_real_street_frames_are_read_in_one_line(split, count):
    reader = ImageFolder(DATA / "camvid" / split, DATA / "camvid" / f"{split}annot", CAMVID)
    assert len(reader) == count
    sample = reader[0]
    assert sample["image"].shape == (360, 480, 3)
    classes = np.unique(sample["panoptic"]) // 1000
    assert {0, 1, 3, 11} <= set(classes.tolist()) <= set(range(12))


@pytest.mark.skipif(not (DATA / "clip").is_dir(), reason="needs the clip samples")
def test_real_clips_are_labelled_here_and_there():
    space = LabelSpace("clip", ("background", "one", "two"), ignore_label=255)
    reader = ImageFolder(DATA / "clip/images", DATA / "clip/masks", space, skip_unmatched=True)
    assert reader.names == ["bike/00000", "judo/00000", "judo/00005", "judo/00008", "judo/00013"]
    assert np.unique(reader[0]["panoptic"]).tolist() == [0, 1000, 2000]


def test_regions_of_things_can_be_made_instances(tmp_path):
    write_camvid(tmp_path)
    space = LabelSpace("few", [str(n) for n in range(11)], things=(8,))
    folders = (tmp_path / "train", tmp_path / "trainannot", space)
    panoptic = ImageFolder(*folders, void_values=[11], split_things=True)[0]["panoptic"]
    assert np.unique(panoptic).tolist() == [0, 8000, 8001, 8002, 255000]
    with pytest.raises(ValueError, match="split_things=True is for the other `values`"):
        ImageFolder(*folders, values="panoptic", split_things=True)
