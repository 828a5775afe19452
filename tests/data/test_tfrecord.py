import gzip
import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from keras_deeplab import data
from keras_deeplab.data.deeplab2_record import encode_sample
from keras_deeplab.data.frame_pairs import FramePairs
from keras_deeplab.data.tf_example import decode_example, encode_example
from keras_deeplab.data.tfrecord import TFRecords
from keras_deeplab.data.tfrecord_file import write_record
from keras_deeplab.labels import CITYSCAPES


def sample(index, **fields):
    image = np.full((2, 3, 3), index, np.uint8)
    return {
        "image": image,
        "panoptic": np.full((2, 3), 13000 + index, np.int32),
        "name": f"f{index}",
        **fields,
    }


def write_shard(folder, name, samples, **options):
    with open(folder / name, "wb") as file:
        for one in samples:
            write_record(file, one if isinstance(one, bytes) else encode_sample(one, CITYSCAPES, **options))


@pytest.fixture
def records(tmp_path):
    """Four shards, as DeepLab2's converters leave them: some may be empty."""
    for shard, indices in enumerate([[0, 1, 2], [], [3], []]):
        samples = [sample(index) for index in indices]
        write_shard(tmp_path, f"train-{shard:05d}-of-00004.tfrecord", samples)
    return tmp_path / "train-*.tfrecord"


def test_samples_hold_image_map_and_name(records):
    reader = TFRecords(records, CITYSCAPES)
    assert len(reader) == 4
    for index in range(4):
        assert reader[index].keys() == {"image", "panoptic", "name"}
        assert (reader[index]["image"] == index).all()
        np.testing.assert_array_equal(reader[index]["panoptic"], sample(index)["panoptic"])
        np.testing.assert_array_equal(reader.load_panoptic(index), sample(index)["panoptic"])


def test_it_is_a_sequence(records):
    reader = TFRecords(records, CITYSCAPES)
    assert reader[-1]["name"] == reader[np.int64(3)]["name"] == "f3"
    assert [one["name"] for one in reader] == reader.names == ["f0", "f1", "f2", "f3"]
    for index in (4, -5):
        with pytest.raises(IndexError):
            reader[index]


def test_public_name_and_description(records):
    reader = data.TFRecords(records, "cityscapes")
    assert reader.label_space is CITYSCAPES
    assert repr(reader) == "TFRecords(4 records in 4 files, label_space='cityscapes', labels='raw')"


def test_semantic_labels_are_found(tmp_path):
    write_shard(tmp_path, "a.tfrecord", [sample(4)], panoptic=False)
    reader = TFRecords(tmp_path / "a.tfrecord", CITYSCAPES)
    assert reader.labels == "png"
    assert (reader[0]["panoptic"] == 13000).all()


def test_records_without_labels_give_images(tmp_path):
    images = [{"image": sample(i)["image"], "name": f"f{i}"} for i in range(2)]
    write_shard(tmp_path, "test.tfrecord", images)
    reader = TFRecords(tmp_path / "test.tfrecord", CITYSCAPES)
    assert reader.labels is None
    assert reader[1].keys() == {"image", "name"}
    with pytest.raises(ValueError, match="has no label maps"):
        reader.load_panoptic(0)
    with pytest.raises(ValueError, match="Nothing to read"):
        TFRecords(tmp_path / "test.tfrecord", CITYSCAPES, images=False)


def test_a_single_missing_label_is_named(tmp_path):
    write_shard(tmp_path, "a.tfrecord", [sample(0), {"image": sample(1)["image"], "name": "f1"}])
    reader = TFRecords(tmp_path / "a.tfrecord", CITYSCAPES)
    with pytest.raises(ValueError, match=r"a\.tfrecord, record 1 has no label. Pass labels=None"):
        reader[1]
    assert TFRecords(tmp_path / "a.tfrecord", CITYSCAPES, labels=None)[1]["name"] == "f1"


def test_images_or_labels_can_be_read_alone(tmp_path):
    depth = np.full((2, 3), 1.5, np.float32)
    frame = sample(1, sequence="0001", frame=5, depth=depth, next_image=sample(2)["image"])
    frame["next_panoptic"] = sample(2)["panoptic"]
    write_shard(tmp_path, "a.tfrecord", [frame])
    path = tmp_path / "a.tfrecord"
    position = {"name", "sequence", "frame"}
    images, labels = {"image", "next_image"}, {"panoptic", "next_panoptic", "depth"}
    assert TFRecords(path, CITYSCAPES)[0].keys() == position | images | labels
    assert TFRecords(path, CITYSCAPES, labels=None)[0].keys() == position | images
    assert TFRecords(path, CITYSCAPES, images=False)[0].keys() == position | labels


def test_each_camera_is_a_sample(tmp_path):
    samples = []
    for index in range(2):
        plain = decode_example(encode_sample(sample(index), CITYSCAPES))
        plain = {name: [bytes(v) if isinstance(v, memoryview) else v for v in plain[name]] for name in plain}
        views = {"image/filename": plain.pop("image/filename")}
        for camera, image in (("front", 10), ("rear", 20)):
            views |= {f"{name}/{camera}": value for name, value in plain.items()}
            pixels = np.full((2, 3, 3), image + index, np.uint8)
            views[f"image/encoded/{camera}"] = [cv2.imencode(".png", pixels)[1].tobytes()]
        samples.append(encode_example(views))
    write_shard(tmp_path, "a.tfrecord", samples)
    reader = TFRecords(tmp_path / "a.tfrecord", CITYSCAPES, cameras=("rear", "front"))
    assert [one["image"][0, 0, 0] for one in reader] == [20, 21, 10, 11]
    assert [one["camera"] for one in reader] == ["rear", "rear", "front", "front"]
    assert reader.names == ["f0/rear", "f1/rear", "f0/front", "f1/front"]
    assert len(TFRecords(tmp_path / "a.tfrecord", CITYSCAPES, cameras="rear")) == 2
    with pytest.raises(ValueError, match=r"record 0 is of several cameras. Pass `cameras`, of front, rear"):
        TFRecords(tmp_path / "a.tfrecord", CITYSCAPES)
    with pytest.raises(ValueError, match=r"record 0 has no 'image/encoded/left'"):
        TFRecords(tmp_path / "a.tfrecord", CITYSCAPES, cameras=["left"])[0]


def test_threads_and_processes_share_a_reader(records):
    reader = pickle.loads(pickle.dumps(TFRecords(records, CITYSCAPES)))
    with ThreadPoolExecutor(4) as pool:
        names = [one["name"] for one in pool.map(reader.__getitem__, [3, 2, 1, 0] * 20)]
    assert names == ["f3", "f2", "f1", "f0"] * 20


def test_a_pipeline_takes_it(records):
    pipeline = data.Pipeline(TFRecords(records, CITYSCAPES), (5, 5), batch_size=2, training=False)
    images = np.concatenate([images for images, _ in pipeline])
    np.testing.assert_allclose(images[:, 0, 0, 0] * 127.5 + 127.5, [0, 1, 2, 3], atol=1e-4)


def test_frames_of_videos_can_be_paired(tmp_path):
    places = [("a", 0), ("a", 1), ("b", 0), ("b", 2)]
    samples = [sample(i, sequence=sequence, frame=frame) for i, (sequence, frame) in enumerate(places)]
    write_shard(tmp_path, "val.tfrecord", samples)
    reader = TFRecords(tmp_path / "val.tfrecord", CITYSCAPES)
    assert list(zip(reader.sequences, reader.frames, strict=True)) == places
    (pair,) = FramePairs(reader, neighbor="next")
    assert (pair["image"] == 0).all()
    assert (pair["next_image"] == 1).all()


def test_records_of_no_video_have_no_sequences(records):
    reader = TFRecords(records, CITYSCAPES)
    assert not hasattr(reader, "sequences")
    with pytest.raises(ValueError, match="is no video"):
        FramePairs(reader)


def test_names_read_no_images(records, tmp_path):
    path = tmp_path / "train-00002-of-00004.tfrecord"
    content = bytearray(path.read_bytes())
    content[content.find(b"\x89PNG")] ^= 1  # damages the image, and the checksum of the record
    path.write_bytes(content)
    reader = TFRecords(records, CITYSCAPES)
    assert reader.names == ["f0", "f1", "f2", "f3"]
    with pytest.raises(ValueError, match=r"train-00002-of-00004\.tfrecord is damaged: record 0 "):
        reader[3]


def test_files_without_records_are_refused(tmp_path):
    for shard in range(2):
        (tmp_path / f"val-{shard:05d}-of-00002.tfrecord").touch()
    with pytest.raises(
        ValueError, match=r"There are no records in 2 files, the first is .*val-00000-of-00002"
    ):
        TFRecords(tmp_path / "val-*", CITYSCAPES)


def test_unusable_files_are_named(records, tmp_path):
    path = tmp_path / "train-00001-of-00004.tfrecord"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match=r"train-00001-of-00004\.tfrecord is compressed"):
        TFRecords(records, CITYSCAPES)
    path.unlink()
    with pytest.raises(ValueError, match=r"1 of 4 shards are missing, the first is .*train-00001-of-00004"):
        TFRecords(records, CITYSCAPES)


def test_records_of_something_else_are_named(tmp_path):
    write_shard(tmp_path, "a.tfrecord", [b"no message"])
    with pytest.raises(ValueError, match=r"a\.tfrecord, record 0 is no valid tf\.train\.Example"):
        TFRecords(tmp_path / "a.tfrecord", CITYSCAPES)
    write_shard(tmp_path, "b.tfrecord", [encode_example({"text": [b"hello"]})])
    with pytest.raises(ValueError, match=r"b\.tfrecord, record 0 has no 'image/filename'. It has: text"):
        TFRecords(tmp_path / "b.tfrecord", CITYSCAPES)[0]


@pytest.mark.parametrize("labels", ["raw", True])
def test_unknown_labels_are_refused(records, labels):
    with pytest.raises(ValueError, match="`labels` must be 'auto' or None"):
        TFRecords(records, CITYSCAPES, labels=labels)
