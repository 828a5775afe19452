import numpy as np
import pytest

from keras_deeplab.cli import main
from keras_deeplab.data.layout_writers.write import LAYOUTS, VIDEO_LAYOUTS
from keras_deeplab.data.layouts import detect_layout, open_dataset
from keras_deeplab.data.synthetic import StreetScenes

SMALL = ("--count", "2", "--image-size", "33x65")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_opens_as_its_layout(layout, tmp_path, capsys):
    frames = 3 if layout in VIDEO_LAYOUTS else 1
    words = ["data", "synthesize", str(tmp_path), *SMALL, "--layout", layout, "--split", "val", "--seed", "4"]
    assert main([*words, "--frames", str(frames)]) == 0
    assert f"{2 * frames} images in the layout {layout}, split val" in capsys.readouterr().out
    assert detect_layout(tmp_path) == (layout, ("val",))
    reader = open_dataset(tmp_path, "val")
    scenes = StreetScenes(2, (33, 65), seed=4, frames_per_sequence=frames)
    assert len(reader) == len(scenes)
    for written, scene in zip(reader, scenes, strict=True):
        if layout != "coco":  # whose images are JPEGs
            np.testing.assert_array_equal(written["image"], scene["image"])
        classes = written["panoptic"] // reader.label_space.label_divisor
        expected = scene["panoptic"] // scenes.label_space.label_divisor
        known = expected != scenes.label_space.ignore_label
        names, expected_names = np.array(reader.label_space.classes), np.array(scenes.label_space.classes)
        np.testing.assert_array_equal(names[classes[known]], expected_names[expected[known]])
        np.testing.assert_array_equal(classes == reader.label_space.ignore_label, ~known)


def test_videos_have_many_frames_unless_told_otherwise(tmp_path, capsys):
    words = ["data", "synthesize", str(tmp_path), "--count", "1", "--image-size", "32x32"]
    assert main([*words, "--layout", "kitti_step", "--weather", "rain", "dusk"]) == 0
    assert "20 images" in capsys.readouterr().out


def test_files_that_are_there_are_kept(tmp_path, capsys):
    assert main(["data", "synthesize", str(tmp_path), *SMALL]) == 0
    assert main(["data", "synthesize", str(tmp_path), *SMALL, "--seed", "1"]) == 1
    assert "is there with other content" in capsys.readouterr().err
    scene = StreetScenes(2, (33, 65))[0]
    np.testing.assert_array_equal(open_dataset(tmp_path)[0]["image"], scene["image"])
