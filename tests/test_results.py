import builtins
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.results import Segmentation

ROAD, SIGN, CAR, VOID = 0, 7, 13, 255
PANOPTIC = np.array(
    [
        [0, 0, 0, 0, 7000, 255000],
        [0, 13001, 13001, 0, 7000, 255000],
        [0, 13001, 13002, 13002, 13000, 255000],
    ],
    np.int32,
)


def make(**fields):
    return Segmentation(**({"panoptic": PANOPTIC, "label_space": CITYSCAPES} | fields))


def test_semantic_comes_from_the_panoptic_map():
    np.testing.assert_array_equal(make().semantic, PANOPTIC // 1000)


def test_instances_are_numbered_over_all_classes():
    panoptic = np.array([[11001, 13001, 13000, 0, 255000, 11007]])
    np.testing.assert_array_equal(make(panoptic=panoptic).instance, [[1, 3, 0, 0, 0, 2]])


def test_given_maps_are_kept():
    semantic, instance = np.zeros((3, 6), np.int32), np.ones((3, 6), np.int32)
    depth = np.full((3, 6), 2.5, np.float32)
    result = make(semantic=semantic, instance=instance, depth=depth, name="street")
    assert result.semantic is semantic
    assert result.instance is instance
    assert result.depth is depth
    assert result.name == "street"


def test_segments_are_sorted_by_area():
    segments = make().segments
    assert [(s["class"], s["area"]) for s in segments] == [
        ("road", 7),
        ("car", 3),
        ("traffic sign", 2),
        ("car", 2),
        ("car", 1),
    ]
    assert [s["id"] for s in segments] == [0, 13001, 7000, 13002, 13000]
    assert segments[1]["bbox"] == [1, 1, 2, 2]
    assert segments[1]["category_id"] == 26


def test_segment_scores_are_means():
    score = np.arange(18, dtype=np.float32).reshape(3, 6)
    by_id = {s["id"]: s["score"] for s in make(score=score).segments}
    assert by_id[13001] == pytest.approx((7 + 8 + 13) / 3)
    assert by_id[7000] == pytest.approx((4 + 10) / 2)


def test_semantic_segmentation_has_one_segment_per_class():
    result = make(panoptic=None, semantic=PANOPTIC // 1000)
    assert result.panoptic is None
    assert [(s["class"], s["area"]) for s in result.segments] == [
        ("road", 7),
        ("car", 6),
        ("traffic sign", 2),
    ]
    assert result.plot().size[1] == 3


def test_plot_covers_the_image_and_adds_a_legend():
    image = np.full((3, 6, 3), 200, np.uint8)
    plain = make(image=image).plot(legend=False)
    assert (plain.mode, plain.size) == ("RGB", (6, 3))
    assert make(image=image).plot().size[0] > 6
    np.testing.assert_array_equal(
        np.asarray(make(image=image).plot(alpha=0, outlines=False, legend=False)), image
    )


def test_notebooks_show_the_plot():
    assert Image.open(io.BytesIO(make()._repr_png_())).size == make().plot().size


def test_save_writes_the_plot(tmp_path):
    make().save(tmp_path / "new" / "picture.png")
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "new" / "picture.png")), np.asarray(make().plot())
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["picture.png"]


def test_save_refuses_an_unknown_ending(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png or \.jpg.*picture\.txt"):
        make().save(tmp_path / "picture.txt")
    assert list(tmp_path.iterdir()) == []


def test_json_holds_the_segments(tmp_path):
    result = make(name="street", score=np.ones((3, 6), np.float32))
    result.save_json(tmp_path / "street.json")
    content = json.loads((tmp_path / "street.json").read_text())
    assert content == json.loads(result.to_json()) == result.to_dict()
    assert (content["name"], content["height"], content["width"]) == ("street", 3, 6)
    assert content["segments"] == result.segments


def decode(picture):
    return picture.astype(int) @ [1, 256, 65536]


def test_to_coco():
    picture, annotation = make(name="000000142238").to_coco()
    assert picture.dtype == np.uint8
    assert annotation["image_id"] == 142238
    assert annotation["file_name"] == "000000142238.png"
    np.testing.assert_array_equal(decode(picture) == 0, PANOPTIC == 255000)
    assert [(s["id"], s["category_id"], s["iscrowd"], s["area"]) for s in annotation["segments_info"]] == [
        (1, 7, 0, 7),
        (2, 20, 0, 2),
        (3, 26, 1, 1),
        (4, 26, 0, 3),
        (5, 26, 0, 2),
    ]


@given(
    st_numpy.arrays(np.int32, (4, 5), elements=st.sampled_from([0, 1000, 11001, 11002, 13000, 13999, 255000]))
)
def test_coco_ids_tell_the_segments_apart(panoptic):
    picture, annotation = make(panoptic=panoptic).to_coco()
    ids = decode(picture)
    category = {s["id"]: s["category_id"] for s in annotation["segments_info"]}
    assert len(category) == len(annotation["segments_info"]) == len(set(panoptic.ravel().tolist()) - {255000})
    for value in np.unique(panoptic):
        (number,) = np.unique(ids[panoptic == value])
        assert (number == 0) == (value == 255000)
        if number:
            assert category[number] == CITYSCAPES.category_ids[value // 1000]
            assert (ids == number).sum() == (panoptic == value).sum()


def test_save_cityscapes_collects_images_in_one_folder(tmp_path):
    make(name="aachen_000000_000019").save_cityscapes(tmp_path)
    make(name="aachen_000001_000019", panoptic=PANOPTIC[:, ::-1]).save_cityscapes(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert [a["image_id"] for a in content["annotations"]] == ["aachen_000000_000019", "aachen_000001_000019"]
    labels = np.asarray(Image.open(tmp_path / "semantic" / "aachen_000001_000019_labelIds.png"))
    np.testing.assert_array_equal(labels[0], [0, 20, 7, 7, 7, 7])


def test_save_cityscapes_needs_a_name(tmp_path):
    with pytest.raises(ValueError, match="needs a name"):
        make().save_cityscapes(tmp_path)


def test_to_supervision():
    pytest.importorskip("supervision")
    score = np.linspace(0, 1, 18, dtype=np.float32).reshape(3, 6)
    result = make(score=score)
    detections = result.to_supervision()
    assert detections.class_id.tolist() == [ROAD, CAR, SIGN, CAR, CAR]
    assert detections.xyxy[1].tolist() == [1, 1, 3, 3]
    assert detections["class_name"].tolist() == [s["class"] for s in result.segments]
    np.testing.assert_array_equal(detections.mask[1], PANOPTIC == 13001)
    np.testing.assert_allclose(detections.confidence, [s["score"] for s in result.segments])
    assert make().to_supervision().confidence is None
    assert len(make(panoptic=np.full((2, 2), 255000)).to_supervision()) == 0


def test_to_supervision_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def without_supervision(name, *args, **kwargs):
        if name == "supervision":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_supervision)
    with pytest.raises(ImportError, match="pip install supervision"):
        make().to_supervision()


def test_a_void_map_has_no_segments(tmp_path):
    result = make(panoptic=np.full((4, 5), 255000), name="void")
    assert result.segments == []
    assert result.instance.max() == 0
    assert result.plot().size == (5, 4)
    assert result.to_coco()[1]["segments_info"] == []


def test_repr_says_what_it_holds():
    assert repr(make(name="street")) == "Segmentation('street', 3 x 6, cityscapes, 5 segments)"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"panoptic": None}, "needs a `panoptic` or a `semantic` map"),
        ({"panoptic": PANOPTIC[None]}, r"`panoptic` must have the shape \[height, width\]"),
        ({"panoptic": PANOPTIC.astype(float)}, "`panoptic` must hold integers"),
        ({"semantic": np.zeros((2, 6), int)}, r"`semantic` must have the shape \(3, 6\). Received: \(2, 6\)"),
        ({"score": np.zeros((3, 5))}, r"`score` must have the shape \(3, 6\)"),
        ({"depth": np.zeros((3, 6, 1))}, r"`depth` must have the shape \(3, 6\)"),
        ({"image": np.zeros((3, 6), np.uint8)}, r"`image` must be uint8 of shape \(3, 6, 3\)"),
        ({"image": np.zeros((3, 6, 3))}, "`image` must be uint8.*float64"),
        ({"label_space": "citscapes"}, "Unknown label space 'citscapes'"),
    ],
)
def test_unusable_arguments_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        make(**fields)


def test_classes_outside_of_the_label_space_are_named():
    result = Segmentation(PANOPTIC, LabelSpace("pets", ("cat", "dog"), (0, 1)))
    with pytest.raises(ValueError, match="`panoptic` holds the class 7, 13, but the label space 'pets'"):
        result.segments  # noqa: B018


def test_results_and_metrics_start_no_backend():
    code = (
        "import sys, keras_deeplab.results, keras_deeplab.metrics, keras_deeplab.evaluation;"
        "print(*{'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == []
