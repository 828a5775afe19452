import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_deeplab.data.coco import CocoPanoptic
from keras_deeplab.data.prediction_writers.panoptic_json import PanopticJson
from keras_deeplab.labels import CITYSCAPES, LabelSpace

ROAD, CAR = np.zeros((2, 3), int), np.full((2, 3), 13_001)


def write(files, name, panoptic=ROAD):
    files.write(panoptic, name, f"{name}.png", f"{name}.jpg")


def described(folder):
    """The categories of each image's segments, as a reader finds them."""
    content = json.loads((folder / "panoptic.json").read_text())
    assert [image["id"] for image in content["images"]] == [a["image_id"] for a in content["annotations"]]
    assert sorted(a["file_name"] for a in content["annotations"]) == sorted(os.listdir(folder / "panoptic"))
    return {a["image_id"]: [s["category_id"] for s in a["segments_info"]] for a in content["annotations"]}


def test_a_finished_folder_holds_what_servers_take(tmp_path):
    files = PanopticJson(tmp_path, CITYSCAPES)
    write(files, "a")
    assert sorted(os.listdir(tmp_path)) == ["panoptic", "panoptic.jsonl"]
    files.close()
    assert sorted(os.listdir(tmp_path)) == ["panoptic", "panoptic.json"]
    assert described(tmp_path) == {"a": [7]}


def test_readers_take_the_result(tmp_path):
    files = PanopticJson(tmp_path, CITYSCAPES)
    write(files, "a")
    write(files, "b", CAR)
    files.close()
    reader = CocoPanoptic(None, tmp_path / "panoptic.json", label_space=CITYSCAPES)
    assert reader.names == ["a", "b"]
    np.testing.assert_array_equal(reader[1]["panoptic"], CAR)


def test_a_killed_run_is_completed_by_the_next(tmp_path):
    script = """
import os, pathlib, signal, sys
import numpy as np
from keras_deeplab.data.prediction_writers.panoptic_json import PanopticJson
from keras_deeplab.labels import CITYSCAPES
files = PanopticJson(pathlib.Path(sys.argv[1]), CITYSCAPES)
for name in "ab":
    files.write(np.zeros((2, 3), int), name, f"{name}.png", f"{name}.jpg")
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=os.getcwd())
    assert process.returncode == -9
    assert not (tmp_path / "panoptic.json").exists()
    files = PanopticJson(tmp_path, CITYSCAPES)
    assert described(tmp_path) == {"a": [7], "b": [7]}  # already when it is opened
    write(files, "c", CAR)
    files.close()
    assert described(tmp_path) == {"a": [7], "b": [7], "c": [26]}


@pytest.mark.parametrize("step", ["description", "picture"])
def test_a_replacement_that_is_cut_off_leaves_no_mixture(tmp_path, monkeypatch, step):
    files = PanopticJson(tmp_path, CITYSCAPES)
    write(files, "a")
    write(files, "b")
    files.close()

    def fail(*_):
        raise KeyboardInterrupt

    files = PanopticJson(tmp_path, CITYSCAPES)
    if step == "description":
        monkeypatch.setattr(files, "_append", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write(files, "b", CAR)
    monkeypatch.undo()
    files = PanopticJson(tmp_path, CITYSCAPES)
    files.close()
    assert described(tmp_path) == {"a": [7]}
    write(files, "b", CAR)
    files.close()
    assert described(tmp_path) == {"a": [7], "b": [26]}


@pytest.mark.parametrize("kept", [0, 10, -20, -1])
def test_lines_that_are_cut_off_are_left_out(tmp_path, kept):
    files = PanopticJson(tmp_path, CITYSCAPES)
    write(files, "a")
    lines = tmp_path / "panoptic.jsonl"
    complete = lines.read_bytes()
    write(files, "b")
    (tmp_path / "panoptic" / "b.png").unlink()  # comes after its line
    lines.write_bytes(complete + lines.read_bytes()[len(complete) :][:kept])
    files = PanopticJson(tmp_path, CITYSCAPES)
    assert described(tmp_path) == {"a": [7]}
    assert not lines.exists()


def test_a_header_that_is_cut_off_is_nothing(tmp_path):
    (tmp_path / "panoptic.jsonl").write_bytes(b'{"categ')
    files = PanopticJson(tmp_path, CITYSCAPES)
    files.close()
    assert os.listdir(tmp_path) == []


def test_removed_pictures_are_no_longer_described(tmp_path):
    files = PanopticJson(tmp_path, CITYSCAPES)
    write(files, "a")
    write(files, "b")
    files.close()
    (tmp_path / "panoptic" / "a.png").unlink()
    PanopticJson(tmp_path, CITYSCAPES).close()
    assert described(tmp_path) == {"b": [7]}


def test_a_picture_of_another_name_is_replaced(tmp_path):
    files = PanopticJson(tmp_path, CITYSCAPES)
    files.write(ROAD, "000000000139.jpg", "old.png", "000000000139.jpg")
    files.write(CAR, "139", "new.png", "139.jpg")
    files.close()
    assert described(tmp_path) == {139: [26]}


@pytest.mark.parametrize("finished", [True, False])
def test_other_categories_are_refused(tmp_path, finished):
    files = PanopticJson(tmp_path, CITYSCAPES)
    write(files, "a")
    if finished:
        files.close()
    before = {path: path.read_bytes() for path in tmp_path.glob("panoptic.*")}
    with pytest.raises(ValueError, match=r"panoptic\.jsonl? holds predictions of other categories"):
        PanopticJson(tmp_path, LabelSpace("pets", ("cat",)))
    assert {path: path.read_bytes() for path in tmp_path.glob("panoptic.*")} == before


@pytest.mark.parametrize("content", ["{", "[]", '{"annotations": []}'])
def test_a_json_of_something_else_is_named(tmp_path, content):
    (tmp_path / "panoptic.json").write_text(content)
    with pytest.raises(ValueError, match=r"panoptic\.json describes no predictions"):
        PanopticJson(tmp_path, CITYSCAPES)
