import numpy as np
import pytest

from keras_deeplab.data.camvid import CamVid
from tests.references import DATA
from tests.small_datasets import picture, save, write_camvid


def expected(first, second, speck):
    label = np.zeros((10, 24), np.int32)
    label[:8, :8], label[:8, 12:20], label[9, 23], label[9, :4] = first, second, speck, 255000
    return label


def test_cars_that_do_not_touch_are_instances_and_specks_are_crowd(tmp_path):
    write_camvid(tmp_path)
    reader = CamVid(tmp_path)
    assert reader.names == ["0001TP_000000", "0001TP_000001"]
    sample = reader[1]
    np.testing.assert_array_equal(sample["panoptic"], expected(8001, 8002, 8000))
    np.testing.assert_array_equal(sample["image"], picture(1, 10, 24))
    assert repr(reader) == f"CamVid({str(tmp_path)!r}, split='train', 2 images)"


def test_instances_can_be_left_out(tmp_path):
    write_camvid(tmp_path, "val")
    panoptic = CamVid(tmp_path, "val", instances=False).load_panoptic(0)
    np.testing.assert_array_equal(panoptic, expected(8000, 8000, 8000))


def test_images_or_labels_can_be_read_alone(tmp_path):
    write_camvid(tmp_path)
    assert set(CamVid(tmp_path, labels=None)[0]) == {"name", "image"}
    assert set(CamVid(tmp_path, images=False)[0]) == {"name", "panoptic"}
    with pytest.raises(ValueError, match=r"`labels` must be 'semantic' or None.*'panoptic'"):
        CamVid(tmp_path, labels="panoptic")


def test_what_is_wrong_is_named(tmp_path):
    write_camvid(tmp_path, count=1)
    with pytest.raises(ValueError, match=r"no images .*val/\*.png.*Folders in .*: train, trainannot"):
        CamVid(tmp_path, "val")
    save(tmp_path / "trainannot/0001TP_000000.png", np.full((10, 24), 12, np.uint8))
    with pytest.raises(ValueError, match=r"0001TP_000000.png: .*12"):
        CamVid(tmp_path)[0]
    save(tmp_path / "trainannot/0001TP_000000.png", picture(0, 10, 24))
    with pytest.raises(ValueError, match=r"0001TP_000000.png: a label must be a grey PNG"):
        CamVid(tmp_path)[0]


@pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="needs the CamVid samples")
def test_real_labels_have_all_classes():
    reader = CamVid(DATA / "camvid", "val")
    assert len(reader) == 101
    maps = [reader.load_panoptic(index) for index in range(0, 101, 10)]
    assert {code // 1000 for panoptic in maps for code in np.unique(panoptic)} == {*range(11), 255}
    for panoptic in maps:
        things = panoptic[(panoptic // 1000 >= 8) & (panoptic // 1000 <= 10)]
        ids, counts = np.unique(things[things % 1000 > 0], return_counts=True)
        assert counts.min(initial=50) >= 50
        assert set(panoptic[panoptic // 1000 < 8] % 1000) == {0}, ids
