import os

import numpy as np
import pytest

from keras_deeplab.data.files import (
    check_same_size,
    common_names,
    dataset_folder,
    find_files,
    find_images,
    list_folders,
    require_files,
)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_are_named_by_what_precedes_the_ending(tmp_path):
    touch(tmp_path, "b/y_depth_718.8.png", "a/x_depth.png", "a/x_image.png", "a/._x_depth.png")
    assert find_files(tmp_path, "*/*_depth*.png", "_depth") == {
        "x": tmp_path / "a/x_depth.png",
        "y": tmp_path / "b/y_depth_718.8.png",
    }


def test_a_missing_folder_has_no_files(tmp_path):
    assert find_files(tmp_path / "nowhere", "*", "") == {}
    assert find_images(tmp_path / "nowhere") == {}
    assert list_folders(tmp_path / "nowhere") == []


def test_images_are_named_by_their_path_without_extension(tmp_path):
    touch(tmp_path, "b/2.jpg", "b/10.PNG", "a.tif", "c/d/e.jpeg", "b/notes.txt", ".hidden.png", ".git/x.png")
    assert find_images(tmp_path) == {
        "a": tmp_path / "a.tif",
        "b/10": tmp_path / "b/10.PNG",
        "b/2": tmp_path / "b/2.jpg",
        "c/d/e": tmp_path / "c/d/e.jpeg",
    }
    assert list(find_images(tmp_path)) == ["a", "b/10", "b/2", "c/d/e"]


def test_only_images_with_the_suffix_and_extension_are_found(tmp_path):
    touch(tmp_path, "a_mask.png", "a.png", "b_mask.jpg")
    assert find_images(tmp_path, "_mask", (".png",)) == {"a": tmp_path / "a_mask.png"}


def test_names_may_have_spaces_and_any_script(tmp_path):
    touch(tmp_path, "Straße am Morgen/übung 1.png", "路/一.png")
    assert list(find_images(tmp_path)) == ["Straße am Morgen/übung 1", "路/一"]


def test_two_images_of_the_same_name_are_refused(tmp_path):
    touch(tmp_path, "a.png", "a.jpg")
    with pytest.raises(ValueError, match=r"two files for 'a': .*a\.jpg and .*a\.png"):
        find_images(tmp_path)


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs symbolic links")
def test_links_are_followed_once(tmp_path):
    data = tmp_path / "data"
    touch(data, "a/1.png")
    touch(tmp_path, "elsewhere/2.png")
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    (data / "a/loop").symlink_to(data)
    (data / "itself.png").symlink_to(data / "itself.png")
    (data / "self").symlink_to(data / "self")
    (data / "gone").symlink_to(tmp_path / "nowhere")
    found = find_images(data)
    assert list(found) == ["a/1", "itself", "linked/2"]
    assert found["linked/2"] == data / "linked/2.png"


def test_hidden_folders_are_not_listed(tmp_path):
    touch(tmp_path, "b/x", "a/x", ".cache/x", "file")
    assert list_folders(tmp_path) == ["a", "b"]


def test_names_are_those_of_both():
    assert common_names({"b": 1, "a": 2}, {"a": 3, "b": 4}) == ["b", "a"]
    assert common_names({"a": 1}, None) == common_names(None, {"a": 1}) == ["a"]


def test_names_of_one_alone_are_refused():
    with pytest.raises(ValueError, match=r"1 of 2 images have no labels, the first is two\.png.*labels=None"):
        common_names({"a": "one.png", "b": "two.png"}, {"a": "label.png"})
    with pytest.raises(
        ValueError, match=r"1 of 1 label maps have no image, the first is l\.png.*images=False"
    ):
        common_names({}, {"a": "l.png"})


def test_missing_files_say_where_they_should_be():
    assert require_files({"a": 1}, "images", "in folder") == {"a": 1}
    with pytest.raises(ValueError, match=r"no images in folder\. Splits: val\. Pass images=False"):
        require_files({}, "images", "in folder", "Splits: val.")
    with pytest.raises(ValueError, match=r"no labels in folder\. Pass labels=None"):
        require_files({}, "labels", "in folder")


def test_missing_datasets_are_named(tmp_path):
    assert dataset_folder(str(tmp_path), "COCO") == tmp_path
    with pytest.raises(ValueError, match=r"The COCO folder .*nowhere does not exist"):
        dataset_folder(tmp_path / "nowhere", "COCO")


def test_different_sizes_are_named():
    check_same_size(np.zeros((2, 3, 3)), "a.png", np.zeros((2, 3)), "b.png")
    with pytest.raises(ValueError, match=r"image a\.png is 2x3, but its depth map b\.png is 3x2"):
        check_same_size(np.zeros((2, 3, 3)), "a.png", np.zeros((3, 2)), "b.png", "depth map")
