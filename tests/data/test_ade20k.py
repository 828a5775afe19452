import numpy as np
import pytest

from keras_deeplab.data.ade20k import Ade20k
from keras_deeplab.labels import LabelSpace
from tests.references import DATA
from tests.small_datasets import picture, save, write_ade20k

REAL = DATA / "layouts" / "ADE20K"


def test_panoptic_annotations_come_first(tmp_path):
    write_ade20k(tmp_path)
    reader = Ade20k(tmp_path)
    assert reader.labels == "panoptic"
    assert reader.names == ["ADE_train_00000001", "ADE_train_00000002"]
    sample = reader[0]
    np.testing.assert_array_equal(sample["panoptic"], [[1000, 1000, 8001, 0], [1000, 8000, 8000, 0]])
    assert sample["image"].shape == (2, 4, 3)
    assert repr(reader) == f"Ade20k({str(tmp_path)!r}, split='train', labels='panoptic', 2 images)"


@pytest.mark.parametrize("labels", ["auto", "semantic"])
def test_annotations_of_classes_have_no_instances(tmp_path, labels):
    write_ade20k(tmp_path, "val", panoptic=False)
    reader = Ade20k(tmp_path, "val", labels=labels)
    assert reader.labels == "semantic"
    np.testing.assert_array_equal(reader[0]["panoptic"], [[1000, 1000, 8000, 0], [1000, 8000, 8000, 0]])


def test_both_forms_have_the_same_classes(tmp_path):
    write_ade20k(tmp_path)
    panoptic, semantic = (Ade20k(tmp_path, labels=form).load_panoptic(1) for form in ("panoptic", "semantic"))
    np.testing.assert_array_equal(panoptic // 1000, semantic // 1000)


@pytest.mark.parametrize("form", ["panoptic", "semantic"])
def test_void_may_be_outside_of_the_classes(tmp_path, form):
    write_ade20k(tmp_path)
    space = LabelSpace("ade", [str(i) for i in range(150)], things=[7], ignore_label=255)
    panoptic = Ade20k(tmp_path, label_space=space, labels=form)[0]["panoptic"]
    np.testing.assert_array_equal(panoptic // 1000, [[0, 0, 7, 255], [0, 7, 7, 255]])


def test_images_or_labels_can_be_read_alone(tmp_path):
    write_ade20k(tmp_path)
    assert set(Ade20k(tmp_path, labels=None)[0]) == {"name", "image"}
    assert set(Ade20k(tmp_path, images=False)[0]) == {"name", "panoptic"}


def test_unknown_forms_of_labels_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"`labels` must be 'auto', 'panoptic', 'semantic' or None.*'instance'"
    ):
        Ade20k(tmp_path, labels="instance")


def test_missing_splits_and_labels_are_named(tmp_path):
    write_ade20k(tmp_path)
    with pytest.raises(ValueError, match=r"no images .*images/validation.*Folders in .*images: training\."):
        Ade20k(tmp_path, "val")
    save(tmp_path / "images/validation/ADE_val_00000001.jpg", picture())
    with pytest.raises(
        ValueError, match=r"no labels .*ade20k_panoptic_val\.json or .*annotations/validation"
    ):
        Ade20k(tmp_path, "val")
    with pytest.raises(ValueError, match=r"no annotation file .*ade20k_panoptic_val\.json"):
        Ade20k(tmp_path, "val", labels="panoptic")


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (np.full((2, 4), 151, np.uint8), r"unknown classes \[151\]"),
        (np.zeros((2, 4, 3), np.uint8), "must be a grey PNG of classes"),
    ],
)
def test_wrong_annotations_are_named_with_their_file(tmp_path, label, problem):
    write_ade20k(tmp_path)
    save(tmp_path / "annotations/training/ADE_train_00000001.png", label)
    with pytest.raises(ValueError, match=rf"annotations/training/ADE_train_00000001\.png: .*{problem}"):
        Ade20k(tmp_path, labels="semantic")[0]


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the layout samples")
def test_a_sample_of_the_official_layout_is_read():
    for split, count in (("train", 3), ("val", 2)):
        panoptic, semantic = (Ade20k(REAL, split, labels=form) for form in ("panoptic", "semantic"))
        assert len(panoptic) == count
        for first, second in zip(panoptic, semantic, strict=True):
            np.testing.assert_array_equal(first["panoptic"] // 1000, second["panoptic"] // 1000)
            assert (first["panoptic"] % 1000).any()
