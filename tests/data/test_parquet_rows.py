import os

import pytest

from keras_deeplab.data.parquet_rows import list_rows, read_row

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write_table(path, columns, **options):
    parquet.write_table(pyarrow.table(columns), path, **options)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(path, {"name": ["a", "b", "c"], "data": [b"1", b"2", b"3"]}, row_group_size=2)
    return path


def test_rows_are_found_in_their_group(path):
    rows = list(list_rows(path, ["name"]))
    assert [(row.path, row.group, row.row, row.values) for row in rows] == [
        (path, 0, 0, {"name": "a"}),
        (path, 0, 1, {"name": "b"}),
        (path, 1, 0, {"name": "c"}),
    ]
    assert [read_row(row, ["data", "name"]) for row in rows[1:]] == [
        {"data": b"2", "name": "b"},
        {"data": b"3", "name": "c"},
    ]


def test_a_missing_column_is_named(path):
    with pytest.raises(ValueError, match=r"a\.parquet has no column date, time\."):
        list(list_rows(path, ["time", "name", "date"]))
    with pytest.raises(ValueError, match=r"a\.parquet has no column image\."):
        read_row(next(list_rows(path, ["name"])), ["image"])


def test_a_missing_value_is_named(path):
    write_table(path, {"name": ["a", "b"], "data": [b"1", None]})
    first, second = list_rows(path, ["name"])
    assert read_row(first, ["data"]) == {"data": b"1"}
    with pytest.raises(ValueError, match=r"a\.parquet has no data in row 1 of row group 0"):
        read_row(second, ["name", "data"])


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_truncated_file_is_named(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"a\.parquet is no parquet file"):
        list(list_rows(path, ["name"]))


def test_damaged_values_are_named(path):
    write_table(path, {"name": [str(i) for i in range(9000)]}, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[1000:2000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.parquet is damaged"):
        list(list_rows(path, ["name"]))


def test_a_file_that_is_written_anew_is_read_anew(path):
    before = list(list_rows(path, ["name"]))
    assert read_row(before[0], ["data"]) == {"data": b"1"}
    write_table(path, {"name": ["d"], "data": [b"4"]})
    os.utime(path, ns=(1, before[0].modified + 1))  # clocks may be coarse
    assert read_row(next(list_rows(path, ["name"])), ["data"]) == {"data": b"4"}
    with pytest.raises(ValueError, match=r"a\.parquet was changed while it was in use"):
        read_row(before[2], ["data"])


def test_files_are_closed(path):
    rows = list(list_rows(path, ["name"]))
    read_row(rows[0], ["data"])
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        pytest.skip("the system does not list open files")
    opened = {os.path.realpath(os.path.join(folder, name)) for name in os.listdir(folder)}
    assert str(path.resolve()) not in opened
