import os

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data.prediction_writers.instances import write_instances
from keras_deeplab.labels import CITYSCAPES

PANOPTIC = np.array([[13_001, 13_001, 11_400, 0], [13_001, 13_000, 11_400, 255_000]])


def test_masks_and_text(tmp_path):
    score = np.array([[0.5, 0.25, 1, 0], [0.75, 0, 0.5, 0]])
    write_instances(tmp_path, "a_000000_000001", PANOPTIC, CITYSCAPES, score)
    lines = (tmp_path / "a_000000_000001.txt").read_text().splitlines()
    assert lines == ["masks/a_000000_000001/0000.png 24 0.75", "masks/a_000000_000001/0001.png 26 0.5"]
    for line, value in zip(lines, (11_400, 13_001), strict=True):
        mask = np.asarray(Image.open(tmp_path / line.split()[0]).convert("L"))
        np.testing.assert_array_equal(mask != 0, value == PANOPTIC)


def test_scores_are_1_without_scores(tmp_path):
    write_instances(tmp_path, "a", PANOPTIC, CITYSCAPES)
    assert [line.split()[2] for line in (tmp_path / "a.txt").read_text().splitlines()] == ["1.0", "1.0"]


@pytest.mark.parametrize("stem", ["my street", "50%", "Straße"])
def test_paths_have_no_spaces(tmp_path, stem):
    write_instances(tmp_path, stem, PANOPTIC, CITYSCAPES)
    for line in (tmp_path / f"{stem}.txt").read_text().splitlines():
        path, _, _ = line.split(" ")
        assert (tmp_path / path).is_file()


def test_masks_of_an_earlier_prediction_go(tmp_path):
    write_instances(tmp_path, "a", PANOPTIC, CITYSCAPES)
    write_instances(tmp_path, "b", PANOPTIC, CITYSCAPES)
    write_instances(tmp_path, "a", PANOPTIC[:, :1], CITYSCAPES)
    assert os.listdir(tmp_path / "masks/a") == ["0000.png"]
    assert Image.open(tmp_path / "masks/a/0000.png").size == (1, 2)
    assert len(os.listdir(tmp_path / "masks/b")) == 2


def test_no_instances_are_an_empty_text(tmp_path):
    write_instances(tmp_path, "a", np.zeros((2, 2), int), CITYSCAPES)
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_an_interrupted_replacement_leaves_no_text(tmp_path, monkeypatch):
    write_instances(tmp_path, "a", PANOPTIC, CITYSCAPES)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_instances(tmp_path, "a", PANOPTIC, CITYSCAPES)
    assert not (tmp_path / "a.txt").exists()
