import importlib.util
import io
import sys

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data.frame_pairs import FramePairs
from keras_deeplab.data.waymo import Waymo, panoptic_from_waymo
from tests.small_datasets import picture

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
needs_pyarrow = pytest.mark.skipif(not HAS_PYARROW, reason="needs pyarrow")

SEGMENT = "10017090168044687777_6380_000_6400_000"
# Ego vehicle, car, two pedestrians, a crowd of pedestrians, road, undefined.
LABEL = np.array([[1000, 2001, 9002, 9003], [9000, 20000, 20000, 0]], np.uint16)


def encode(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def write_table(path, columns, row_group_size=4):
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)


def write_segment(
    root,
    split="training",
    segment=SEGMENT,
    times=(100, 200, 300),
    cameras=(1, 4),
    labels=True,
    label=LABEL,
    sequence="15692902915025018598",
):
    """Every camera at every time has an image; the first time has no label."""
    keys = [(time, camera) for time in times for camera in cameras]

    def key_columns(keys):
        return {
            "key.segment_context_name": [segment] * len(keys),
            "key.frame_timestamp_micros": [time for time, _ in keys],
            "key.camera_name": np.array([camera for _, camera in keys], np.int8),
        }

    images = [encode(picture(time // 100 + 10 * camera, 2, 4)) for time, camera in keys]
    columns = {**key_columns(keys), "[CameraImageComponent].image": images}
    write_table(root / split / "camera_image" / f"{segment}.parquet", columns)
    if not labels:
        return
    keys = [(time, camera) for time, camera in keys if time > times[0]]
    component = "[CameraSegmentationLabelComponent]"
    mapping = f"{component}.instance_id_to_global_id_mapping"
    columns = {
        **key_columns(keys),
        f"{component}.panoptic_label_divisor": np.full(len(keys), 1000, np.int32),
        f"{component}.panoptic_label": [encode(label)] * len(keys),
        f"{mapping}.local_instance_ids": [[1, 2, 3]] * len(keys),
        f"{mapping}.global_instance_ids": [[70, 5, 1234]] * len(keys),
        f"{mapping}.is_tracked": [[True, True, False]] * len(keys),
        f"{component}.sequence_id": [sequence] * len(keys),
        f"{component}.num_cameras_covered": [b""] * len(keys),
    }
    write_table(root / split / "camera_segmentation" / f"{segment}.parquet", columns)


PANOPTIC = np.array([[100000, 200070, 900005, 901234], [900000, 2000000, 2000000, 0]])


@needs_pyarrow
def test_samples_hold_the_views_of_the_cameras(tmp_path):
    write_segment(tmp_path)
    reader = Waymo(tmp_path)
    assert len(reader) == 4
    sample = reader[3]
    assert sample["name"] == f"{SEGMENT}/300_side_left"
    assert sample["camera"] == "side_left"
    assert (sample["sequence"], sample["frame"]) == ("15692902915025018598_side_left", 1)
    np.testing.assert_array_equal(sample["image"], picture(43, 2, 4))
    np.testing.assert_array_equal(sample["panoptic"], PANOPTIC)
    assert sample["panoptic"].dtype == np.int32
    assert repr(reader) == f"Waymo({str(tmp_path)!r}, split='train', 4 images)"


@needs_pyarrow
def test_cameras_can_be_chosen(tmp_path):
    write_segment(tmp_path)
    assert set(Waymo(tmp_path, cameras=["front"]).cameras) == {"front"}
    with pytest.raises(ValueError, match=r"no images of these cameras .*camera_image"):
        Waymo(tmp_path, cameras=["side_right"])
    for cameras in ("front", [], ["rear"]):
        with pytest.raises(ValueError, match=r"`cameras` must be some of front, front_left"):
            Waymo(tmp_path, cameras=cameras)


@needs_pyarrow
def test_images_or_labels_can_be_read_alone(tmp_path):
    write_segment(tmp_path)
    images, labels = Waymo(tmp_path, labels=None), Waymo(tmp_path, images=False)
    assert (len(images), len(labels)) == (6, 4)  # all images, but only labelled ones
    assert set(images[0]) == {"name", "camera", "sequence", "frame", "image"}
    assert set(labels[0]) == {"name", "camera", "sequence", "frame", "panoptic"}
    assert images.sequences[0] == f"{SEGMENT}_front"
    with pytest.raises(ValueError, match="labels=None"):
        images.load_panoptic(0)
    with pytest.raises(ValueError, match="images=False"):
        labels.load_image(0)
    with pytest.raises(ValueError, match="Nothing to read"):
        Waymo(tmp_path, images=False, labels=False)


@needs_pyarrow
def test_frames_of_each_camera_are_pairs(tmp_path):
    write_segment(tmp_path)
    pairs = FramePairs(Waymo(tmp_path))
    assert pairs.sequences == ["15692902915025018598_front", "15692902915025018598_side_left"]
    np.testing.assert_array_equal(pairs[0]["next_image"], picture(13, 2, 4))


@needs_pyarrow
def test_frames_are_counted_by_time(tmp_path):
    write_segment(tmp_path, times=(300, 100, 200), cameras=(1,))
    reader = Waymo(tmp_path, labels=None)
    assert [name.partition("/")[2] for name in reader.names] == ["300_front", "100_front", "200_front"]
    assert reader.frames == [2, 0, 1]


@needs_pyarrow
@pytest.mark.parametrize("sequence", ["", None])
def test_labels_of_no_sequence_belong_to_their_segment(tmp_path, sequence):
    write_segment(tmp_path, sequence=sequence, cameras=(1,))
    write_segment(tmp_path, segment="other", sequence=sequence, cameras=(1,))
    reader = Waymo(tmp_path)
    assert reader.sequences == [f"{SEGMENT}_front"] * 2 + ["other_front"] * 2
    assert reader.frames == [0, 1, 0, 1]


@needs_pyarrow
def test_the_test_split_has_images_only(tmp_path):
    write_segment(tmp_path, "testing", labels=False)
    assert len(Waymo(tmp_path, "test", labels=None)) == 6
    with pytest.raises(ValueError, match=r"no labels .*testing/camera_segmentation.*labels=None"):
        Waymo(tmp_path, "test")


@needs_pyarrow
def test_labels_without_an_image_are_named(tmp_path):
    write_segment(tmp_path)
    write_segment(tmp_path, times=(100, 200), labels=False)  # the last image is gone
    with pytest.raises(ValueError, match=rf"2 of 4 labels have no image .*{SEGMENT}, time 300, camera front"):
        Waymo(tmp_path)


@needs_pyarrow
def test_images_that_are_there_twice_are_named(tmp_path):
    write_segment(tmp_path)
    path = tmp_path / f"training/camera_image/{SEGMENT}.parquet"
    path.with_name("small_row_groups.parquet").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=rf"small.* and .*{SEGMENT}\.parquet hold .* 100, camera front"):
        Waymo(tmp_path)


@needs_pyarrow
def test_wrong_labels_are_named(tmp_path):
    write_segment(tmp_path, label=np.array([[29000]], np.uint16))
    with pytest.raises(
        ValueError, match=rf"200_front of .*{SEGMENT}\.parquet: `panoptic` holds the class 29,"
    ):
        Waymo(tmp_path, images=False)[0]
    write_segment(tmp_path, segment="other", label=np.array([[0]], np.uint16))
    with pytest.raises(ValueError, match=r"200_front is 2x4, but its label map .*200_front is 1x1"):
        Waymo(tmp_path)[4]


@needs_pyarrow
def test_damaged_files_are_named(tmp_path):
    write_segment(tmp_path)
    path = tmp_path / f"training/camera_segmentation/{SEGMENT}.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"{SEGMENT}\.parquet is no parquet file"):
        Waymo(tmp_path)


@needs_pyarrow
def test_files_without_the_columns_are_named(tmp_path):
    write_table(tmp_path / "training/camera_image/a.parquet", {"x": [1]})
    with pytest.raises(ValueError, match=r"a\.parquet has no column key\.camera_name"):
        Waymo(tmp_path, labels=None)


def test_a_missing_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "training/camera_image/a.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-deeplab\[waymo\]'"):
        Waymo(tmp_path, labels=None)


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"The Waymo folder .*nowhere does not exist"):
        Waymo(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no images .*validation/camera_image.*Folders in .*: none"):
        Waymo(tmp_path, "val")


def test_local_instances_become_those_of_the_sequence():
    np.testing.assert_array_equal(panoptic_from_waymo(LABEL, 1000, [1, 2, 3], [70, 5, 1234]), PANOPTIC)


def test_instances_without_a_global_id_keep_their_own():
    np.testing.assert_array_equal(panoptic_from_waymo(np.array([[2001]]), 1000, [], []), [[200001]])


def test_stuff_has_no_instances():
    np.testing.assert_array_equal(panoptic_from_waymo(np.array([[6001]]), 1000, [1], [7]), [[600000]])


@pytest.mark.parametrize(("divisor", "local"), [(2**31 - 1, 5), (1000, 2**31 - 1), (1000, -1)])
def test_the_size_of_ids_does_not_matter(divisor, local):
    panoptic = panoptic_from_waymo(np.array([[5]]), divisor, [local], [7])
    np.testing.assert_array_equal(panoptic, [[0]])  # class 0 is void


def test_negative_global_ids_are_refused():
    with pytest.raises(ValueError, match=r"global ids must be at least 0\. Received: -5"):
        panoptic_from_waymo(LABEL, 1000, [1, 2], [7, -5])


@pytest.mark.parametrize(
    ("label", "divisor", "ids"), [(np.zeros((2, 2, 3)), 1000, []), (LABEL, 0, []), (LABEL, 1000, [1])]
)
def test_malformed_labels_are_refused(label, divisor, ids):
    with pytest.raises(ValueError, match="a label must be a grey PNG with a divisor above 0"):
        panoptic_from_waymo(label, divisor, ids, [])
