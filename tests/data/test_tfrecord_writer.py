import os
import sys

import numpy as np
import pytest

from keras_deeplab.data import ArrayReader, StreetScenes, TFRecords, write_tfrecords
from keras_deeplab.data.tfrecord_file import TFRecordFile
from keras_deeplab.labels import CITYSCAPES
from tests.data.test_deeplab2_record import NEXT, PREVIOUS, SAMPLE, assert_equal


class Samples(list):
    label_space = CITYSCAPES


def numbered(count, **fields):
    return Samples({**SAMPLE, "name": f"f{i}", **fields} for i in range(count))


def names_of(paths):
    return [path.name for path in paths]


@pytest.mark.parametrize("num_threads", [0, 2, None])
def test_all_samples_are_written_in_order(tmp_path, num_threads):
    scenes = StreetScenes(7, image_size=(32, 48))
    paths = write_tfrecords(scenes, tmp_path / "new", shards=3, num_threads=num_threads)
    assert names_of(paths) == [f"train-{shard:05d}-of-00003.tfrecord" for shard in range(3)]
    assert sorted(os.listdir(tmp_path / "new")) == names_of(paths)
    assert [len(TFRecordFile(path)) for path in paths] == [3, 2, 2]
    reader = TFRecords(tmp_path / "new" / "train-*", CITYSCAPES)
    for written, scene in zip(reader, scenes, strict=True):
        assert_equal(written, scene)


@pytest.mark.parametrize("sample", [NEXT, PREVIOUS], ids=["next", "previous"])
def test_videos_survive(tmp_path, sample):
    frames = Samples({**sample, "name": f"0001/{frame:06d}", "frame": frame} for frame in range(3))
    write_tfrecords(frames, tmp_path, "val")
    for written, frame in zip(TFRecords(tmp_path / "val-*", CITYSCAPES), frames, strict=True):
        assert_equal(written, frame)


def test_there_are_no_more_shards_than_samples(tmp_path):
    assert names_of(write_tfrecords(numbered(2), tmp_path)) == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]


def test_labels_can_be_semantic_and_images_jpeg(tmp_path):
    write_tfrecords(numbered(1), tmp_path, panoptic=False, image_format="jpeg")
    reader = TFRecords(tmp_path / "train-*", CITYSCAPES)
    assert reader.labels == "png"
    np.testing.assert_array_equal(reader[0]["panoptic"], SAMPLE["panoptic"] // 1000 * 1000)
    assert b"\xff\xd8\xff" in reader.files[0][0]


def test_images_without_labels_are_written(tmp_path):
    write_tfrecords(ArrayReader(np.zeros((2, 4, 5, 3), np.uint8), None, CITYSCAPES), tmp_path, "test")
    assert TFRecords(tmp_path / "test-*", CITYSCAPES)[1].keys() == {"image", "name"}


def test_the_same_samples_give_the_same_files(tmp_path):
    first, second = (
        [path.read_bytes() for path in write_tfrecords(numbered(4), tmp_path / name, shards=2)]
        for name in "ab"
    )
    assert first == second


def test_sequences_get_a_file_each(tmp_path):
    frames = Samples(
        {**SAMPLE, "name": f"{sequence}/{frame}", "sequence": sequence, "frame": frame}
        for sequence, frame in [("b", 0), ("b", 1), ("a", 0)]
    )
    paths = write_tfrecords(frames, tmp_path, "val", shards="sequence")
    assert [len(TFRecordFile(path)) for path in paths] == [2, 1]
    assert names_of(paths)[1] == "val-00001-of-00002.tfrecord"
    frames.append(frames[0])
    with pytest.raises(ValueError, match="The frames of sequence 'b' do not follow each other"):
        write_tfrecords(frames, tmp_path, "train", shards="sequence")
    with pytest.raises(ValueError, match="the samples have no `sequence`"):
        write_tfrecords(numbered(2), tmp_path, "train", shards="sequence")


def test_nothing_is_left_of_what_failed(tmp_path):
    samples = numbered(6)
    samples[4]["panoptic"] = SAMPLE["panoptic"] * 0 + 20000
    with pytest.raises(ValueError, match=r"Sample 'f4' cannot be written: .*holds the class 20"):
        write_tfrecords(samples, tmp_path)
    assert os.listdir(tmp_path) == []


def test_samples_with_other_fields_are_named(tmp_path):
    samples = numbered(2, sequence="a", frame=1)
    samples[1] |= {"depth": NEXT["depth"]}
    with pytest.raises(ValueError, match="Sample 'f1' differs from the first one in having depth or not"):
        write_tfrecords(samples, tmp_path)


def test_files_are_not_overwritten(tmp_path):
    write_tfrecords(numbered(1), tmp_path)
    write_tfrecords(numbered(1), tmp_path, "val")
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.tfrecord exists"):
        write_tfrecords(numbered(2), tmp_path)


def test_the_package_for_checksums_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(ImportError, match=r"pip install keras-deeplab\[tfrecord\]"):
        write_tfrecords(numbered(1), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "`shards` must be an integer >= 1 or 'sequence'. Received: shards=0"),
        ({"shards": "frame"}, "`shards` must be"),
        ({"image_format": "webp"}, "`image_format` must be 'png' or 'jpeg'"),
        ({"split": "a/b"}, "`split` must be the begin of a file name"),
        ({"split": ""}, "`split` must be the begin of a file name"),
        ({"reader": Samples()}, "The reader has no samples"),
        ({"reader": [SAMPLE]}, "The reader has no `label_space`"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_tfrecords(**{"reader": numbered(1), "folder": tmp_path, **options})


def test_tensorflow_finds_the_records(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    write_tfrecords(numbered(5), tmp_path, shards=2)
    files = tensorflow.data.Dataset.list_files(str(tmp_path / "train-*.tfrecord"), shuffle=False)
    names = [
        tensorflow.train.Example.FromString(record.numpy())
        .features.feature["image/filename"]
        .bytes_list.value[0]
        for record in files.interleave(tensorflow.data.TFRecordDataset, cycle_length=1)
    ]
    assert names == [b"f0", b"f1", b"f2", b"f3", b"f4"]
