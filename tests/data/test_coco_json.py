import numpy as np
import pytest

from keras_deeplab.data.coco_json import read_coco_json, segments_info
from tests.small_datasets import save_json

SEGMENT = {"id": 7, "category_id": 17, "iscrowd": 1, "area": 4}
CONTENT = {
    "categories": [{"id": 17, "name": "cat", "isthing": 1}],
    "images": [{"id": 5, "file_name": "a/5.jpg"}],
    "annotations": [{"image_id": 5, "file_name": "a/5.png", "segments_info": [SEGMENT]}],
}


def test_what_readers_need_is_kept(tmp_path):
    content = read_coco_json(save_json(tmp_path / "a.json", CONTENT))
    assert content.categories == CONTENT["categories"]
    assert content.images == {5: "a/5.jpg"}
    assert content.annotations == {5: "a/5.png"}
    np.testing.assert_array_equal(content.segments["a/5.png"], [[7, 17, 1]])
    assert segments_info(content.segments["a/5.png"]) == [{"id": 7, "category_id": 17, "iscrowd": 1}]


def test_images_may_have_no_segments(tmp_path):
    annotations = [{"image_id": 5, "file_name": "5.png", "segments_info": []}]
    content = read_coco_json(save_json(tmp_path / "a.json", {"annotations": annotations}))
    assert content.segments["5.png"].shape == (0, 3)
    assert segments_info(content.segments["5.png"]) == []


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no annotation file .*a\.json"):
        read_coco_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "3",
            "null",
            "{}",
            '{"annotations": 3}',
            '{"annotations": [{"file_name": "a.png"}]}',
        ),
        '{"annotations": [], "images": [{}]}',
        '{"annotations": [{"file_name": "a.png", "segments_info": [{"id": 1}]}]}',
        '{"annotations": [{"file_name": "a.png", "segments_info": [{"id": "x", "category_id": 1}]}]}',
        "\xff\xfe",
    ],
)
def test_other_content_is_refused_with_the_path(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"a\.json is not a panoptic annotation file"):
        read_coco_json(tmp_path / "a.json")
