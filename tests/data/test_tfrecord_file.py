import gzip
import pickle
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.tfrecord_file import TFRecordFile, find_shards, write_record

RECORDS = [b"first", b"", b"\x00" * 300, bytes(range(256))]


@pytest.fixture
def write(tmp_path):
    """Writes records under a name, returns the path."""

    def write(records, name="a.tfrecord"):
        with open(tmp_path / name, "wb") as file:
            for record in records:
                write_record(file, record)
        return tmp_path / name

    return write


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_records_survive(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    with open(path, "wb") as file:
        for record in records:
            write_record(file, record)
    assert list(TFRecordFile(path)) == records


def masked_crc32c(data):
    checksum = google_crc32c.value(data)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) % 2**32)


@pytest.mark.parametrize("length", [0, 9, 255, 70_000])
def test_a_file_is_lengths_contents_and_checksums(write, length):
    record, size = b"x" * length, struct.pack("<Q", length)
    assert write([record]).read_bytes() == size + masked_crc32c(size) + record + masked_crc32c(record)


def test_tensorflow_reads_the_same(write):
    tensorflow = pytest.importorskip("tensorflow")
    dataset = tensorflow.data.TFRecordDataset(str(write(RECORDS)))
    assert [record.numpy() for record in dataset] == RECORDS


def test_what_tensorflow_writes_is_read(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    with tensorflow.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for record in RECORDS:
            writer.write(record)
    assert list(TFRecordFile(tmp_path / "a.tfrecord")) == RECORDS


def test_records_are_reached_in_any_order(write):
    records = TFRecordFile(write(RECORDS))
    assert len(records) == 4
    assert records[3] == RECORDS[3]
    assert records[-4] == RECORDS[0]
    for index in (4, -5):
        with pytest.raises(IndexError):
            records[index]


def test_views_hold_the_records(write):
    assert [bytes(view) for view in TFRecordFile(write(RECORDS)).views()] == RECORDS


def test_empty_files_have_no_records(tmp_path):
    (tmp_path / "a.tfrecord").touch()
    records = TFRecordFile(tmp_path / "a.tfrecord")
    assert len(records) == 0
    assert list(records.views()) == []


def test_files_are_shared_by_threads_and_processes(write):
    records = pickle.loads(pickle.dumps(TFRecordFile(write([bytes([i]) * i for i in range(200)]))))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(records.__getitem__, range(200))) == [bytes([i]) * i for i in range(200)]


def test_truncated_files_are_refused_wherever_they_end(write):
    path = write([b"one", b"two"])
    data = path.read_bytes()
    for length in {*range(1, len(data))} - {len(data) // 2}:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.tfrecord is (truncated|not an uncompressed TFRecord file)"):
            TFRecordFile(path)


def test_truncated_files_say_where(write):
    path = write([b"one", b"two"])
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="record 1 ends at byte 38, the file at byte 36"):
        TFRecordFile(path)


def test_every_changed_byte_is_noticed(write):
    path = write([b"one", b"two"])
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"a\.tfrecord is (damaged|not an uncompressed TFRecord file)"):
            list(TFRecordFile(path))


def test_damaged_records_are_named(write):
    path = write([b"one", b"two"])
    path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
    records = TFRecordFile(path)
    assert records[0] == b"one"
    with pytest.raises(ValueError, match=r"a\.tfrecord is damaged: record 1 has a wrong checksum"):
        records[1]


def test_files_that_shrink_are_named(write):
    path = write([b"one", b"two"])
    records = TFRecordFile(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"was shortened after it was opened: record 1"):
        records[1]


def test_other_files_are_named(tmp_path):
    (tmp_path / "a.tfrecord").write_text("hello, these are no records")
    with pytest.raises(ValueError, match=r"a\.tfrecord is not an uncompressed TFRecord file .*hello"):
        TFRecordFile(tmp_path / "a.tfrecord")


def test_compressed_files_are_named(write):
    path = write(RECORDS)
    data = path.read_bytes()
    path.write_bytes(gzip.compress(data))
    with pytest.raises(ValueError, match=r"a\.tfrecord is compressed with gzip.*Unpack it"):
        TFRecordFile(path)
    path.write_bytes(zlib.compress(data))
    with pytest.raises(ValueError, match="is not an uncompressed TFRecord file"):
        TFRecordFile(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"There is no TFRecord file .*nothing\.tfrecord"):
        TFRecordFile(tmp_path / "nothing.tfrecord")
    with pytest.raises(ValueError, match=r"cannot be read: Is a directory"):
        TFRecordFile(tmp_path)


# Shards


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def names(paths):
    return [path.rpartition("/")[2] for path in paths]


def test_patterns_give_sorted_files_once(tmp_path):
    touch(tmp_path, "b.tfrecord", "a.tfrecord", "c.other", ".hidden.tfrecord")
    assert names(find_shards(f"{tmp_path}/*.tfrecord")) == ["a.tfrecord", "b.tfrecord"]
    paths = [tmp_path / "b.tfrecord", f"{tmp_path}/*.tfrecord", tmp_path / "c.other"]
    assert names(find_shards(paths)) == ["b.tfrecord", "a.tfrecord", "c.other"]


def test_names_with_brackets_are_names_where_they_exist(tmp_path):
    touch(tmp_path, "a[1].tfrecord", "a1.tfrecord")
    assert names(find_shards(tmp_path / "a[1].tfrecord")) == ["a[1].tfrecord"]


def test_nothing_found_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"There are no TFRecord files .*train-\*"):
        find_shards(tmp_path / "train-*")
    with pytest.raises(ValueError, match="`paths` is empty"):
        find_shards([])


def test_folders_are_named_with_a_pattern(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder. Pass a pattern, e.g. .*train-\*\.tfrecord"):
        find_shards(tmp_path)


def test_missing_shards_are_named(tmp_path):
    touch(tmp_path, *(f"train-{i:05d}-of-00005.tfrecord" for i in (0, 2, 4)))
    with pytest.raises(ValueError, match=r"2 of 5 shards are missing, the first is .*train-00001-of-00005"):
        find_shards(tmp_path / "train-*")


def test_a_pattern_may_mean_fewer_shards(tmp_path):
    touch(tmp_path, *(f"train-{i:05d}-of-00005.tfrecord" for i in (0, 1, 2)))
    assert len(find_shards(tmp_path / "train-0000[0-2]-*")) == 3
    assert len(find_shards([tmp_path / "train-00000-of-00005.tfrecord"])) == 1


def test_shards_of_two_sets_are_refused(tmp_path):
    touch(tmp_path, "train-00000-of-00001.tfrecord", "train-00000-of-00002.tfrecord")
    touch(tmp_path, "train-00001-of-00002.tfrecord", "val-00000-of-00001.tfrecord")
    with pytest.raises(ValueError, match=r"of two sets, of 00001 and of 00002.*train-\*-of-00002\.tfrecord"):
        find_shards(tmp_path / "train-*")
    assert len(find_shards(tmp_path / "train-*-of-00002.tfrecord")) == 2
    assert len(find_shards(tmp_path / "*-of-00001.tfrecord")) == 2


# Without google-crc32c


def test_writing_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with (
        open(tmp_path / "a.tfrecord", "wb") as file,
        pytest.raises(ImportError, match=r"google-crc32c: pip install keras-deeplab\[tfrecord\]"),
    ):
        write_record(file, b"one")


def test_reading_verifies_lengths_only(write, monkeypatch):
    path = write([b"one", b"two"])
    path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    assert list(TFRecordFile(path)) == [b"one", b"tow"]
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is not an uncompressed TFRecord file"):
        TFRecordFile(path)
