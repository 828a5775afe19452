import json

import numpy as np
from PIL import Image

from keras_deeplab.cli import main
from tests.small_datasets import save, write_cityscapes, write_coco, write_kitti_step


def test_every_split_is_counted_and_drawn(tmp_path, capsys):
    write_kitti_step(tmp_path / "kitti", split="train")
    write_kitti_step(tmp_path / "kitti", split="val")
    assert (
        main(["data", "inspect", str(tmp_path / "kitti"), "--output", str(tmp_path / "out"), "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["layout"] == "kitti_step"
    assert sorted(report["splits"]) == ["train", "val"]
    train = report["splits"]["train"]
    assert train["samples"] == train["labelled"] > train["sequences"] > 0
    assert sum(row["pixels"] for row in train["classes"].values()) > 0
    for split in ("train", "val"):
        sheet = tmp_path / "out" / f"contact_sheet_{split}.png"
        assert report["splits"][split]["contact_sheet"] == str(sheet)
        assert np.asarray(Image.open(sheet)).std() > 0


def test_a_table_names_the_classes_that_occur(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    write_coco(tmp_path / "coco")
    assert main(["data", "inspect", str(tmp_path / "coco"), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("coco, val")
    assert "2 images, 2 with labels; sizes: 2x4 (2)" in printed
    assert any("person" in line and "4" in line for line in printed.splitlines())
    assert "131 classes do not occur" in printed


def test_broken_files_are_listed_and_the_others_counted(tmp_path, capsys):
    write_cityscapes(tmp_path / "cityscapes")
    broken = sorted((tmp_path / "cityscapes" / "leftImg8bit" / "train").rglob("*.png"))[0]
    broken.write_bytes(broken.read_bytes()[:-20])
    words = ["data", "inspect", str(tmp_path / "cityscapes"), "--split", "train"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert f"problem: The image file {broken} is truncated" in printed.err
    assert "contact_sheet_train.png" in printed.out


def test_a_label_without_its_image_is_a_problem_of_its_split(tmp_path, capsys):
    write_cityscapes(tmp_path / "cityscapes")
    missing = sorted((tmp_path / "cityscapes" / "leftImg8bit" / "train").rglob("*.png"))[0]
    missing.unlink()
    assert main(["data", "inspect", str(tmp_path / "cityscapes"), "--output", str(tmp_path / "out")]) == 1
    assert "label maps have no image, the first is" in capsys.readouterr().err


def test_a_test_split_needs_no_labels(tmp_path, capsys):
    write_kitti_step(tmp_path / "kitti", split="train")
    save(tmp_path / "kitti/images/test/0003/000000.png", np.full((4, 6, 3), 9, np.uint8))
    words = ["data", "inspect", str(tmp_path / "kitti"), "--split", "test", "--output", str(tmp_path / "out")]
    assert main(words) == 0
    assert "1 images, 0 with labels" in capsys.readouterr().out


def test_unknown_folders_are_a_mistake(tmp_path, capsys):
    assert main(["data", "inspect", str(tmp_path)]) == 1
    assert "holds none of the known datasets" in capsys.readouterr().err
