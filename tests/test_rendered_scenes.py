"""Scenes in files are the scenes that were rendered, and those of rare classes come as often as asked."""

import collections

import numpy as np
import pytest

from keras_deeplab.data import StreetScenes
from tools.rendered_scenes import RenderedScenes, RepeatedScenes


@pytest.fixture(scope="module")
def scenes():
    return StreetScenes(12, image_size=(64, 128), seed=3)


@pytest.fixture(scope="module")
def rendered(scenes, tmp_path_factory):
    return RenderedScenes(scenes, tmp_path_factory.mktemp("scenes") / "of_12")


def test_files_hold_the_scenes(scenes, rendered):
    assert rendered.names == scenes.names
    for index in (0, 7, 11):
        expected, actual = scenes[index], rendered[index]
        assert actual["name"] == expected["name"]
        np.testing.assert_array_equal(actual["image"], expected["image"])
        np.testing.assert_array_equal(actual["panoptic"], expected["panoptic"])


def test_scenes_are_rendered_once(scenes, rendered, monkeypatch):
    def render(self, scenes, folder):
        raise AssertionError("rendered again")

    monkeypatch.setattr(RenderedScenes, "_render", render)
    again = RenderedScenes(scenes, rendered.folder)
    np.testing.assert_array_equal(again[5]["image"], rendered[5]["image"])


def test_pixels_of_a_class_are_counted(scenes, rendered):
    road = scenes.label_space.classes.index("road")
    exact = [np.count_nonzero(scenes.load_panoptic(index) // 1000 == road) for index in range(12)]
    np.testing.assert_allclose(rendered.count_pixels("road"), exact, rtol=0.05)


def test_scenes_that_show_a_class_come_more_often(rendered):
    signs, lights = (rendered.count_pixels(name) >= 40 for name in ("traffic sign", "traffic light"))
    assert 0 < signs.sum() < 12
    assert 0 < lights.sum() < 12
    repeated = RepeatedScenes(rendered, {"traffic sign": 3, "traffic light": 2}, min_pixels=40)
    expected = np.where(signs, 3, np.where(lights, 2, 1))
    times = collections.Counter(repeated.names)
    assert [times[name] for name in rendered.names] == expected.tolist()
    assert len(repeated) == expected.sum()
    for index in (0, len(repeated) - 1):
        assert repeated[index]["name"] == repeated.names[index]
