import numpy as np
import pytest

from keras_deeplab import visualization
from keras_deeplab.labels import CITYSCAPES, LabelSpace

CAR = CITYSCAPES.colors[13]


def test_semantic_colors_are_the_class_colors():
    picture = visualization.color_semantic(np.array([[0, 13, 255, 18]], np.uint8), CITYSCAPES)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, [[CITYSCAPES.colors[0], CAR, (0, 0, 0), CITYSCAPES.colors[18]]])


def test_an_ignore_label_inside_the_classes_is_black():
    space = LabelSpace("coco-like", ("void", "cat"), (1,), colors=[(9, 9, 9), (1, 2, 3)], ignore_label=0)
    np.testing.assert_array_equal(
        visualization.color_semantic(np.array([[0, 1]]), space), [[(0, 0, 0), (1, 2, 3)]]
    )


def test_stuff_crowd_and_void_have_the_class_colors():
    picture = visualization.color_panoptic(np.array([[0, 13_000, 255_000]]), CITYSCAPES)
    np.testing.assert_array_equal(picture, [[CITYSCAPES.colors[0], CAR, (0, 0, 0)]])


def test_instances_have_shades_of_their_own():
    panoptic = 13_000 + np.arange(1, 61).reshape(6, 10)
    colors = visualization.color_panoptic(panoptic, CITYSCAPES).reshape(-1, 3).astype(int)
    assert len(np.unique(colors, axis=0)) == 60
    neighbors = np.abs(colors[1:] - colors[:-1]).sum(axis=1)
    assert neighbors.min() > 40, "consecutive instances must be told apart"


def test_a_shade_does_not_depend_on_the_other_segments():
    alone = visualization.color_panoptic(np.array([[13_004]]), CITYSCAPES)
    among = visualization.color_panoptic(np.array([[13_004, 13_001, 0]]), CITYSCAPES)
    np.testing.assert_array_equal(alone[0, 0], among[0, 0])


@pytest.mark.parametrize("color", [*CITYSCAPES.colors, (0, 0, 0), (255, 255, 255)])
def test_shades_are_colors(color):
    for instance in (*range(50), 999, 10_000_000):
        result = visualization.shade(color, instance)
        assert len(result) == 3
        assert all(isinstance(channel, int) and 0 <= channel <= 255 for channel in result)


def test_outlines_lie_where_segments_meet():
    panoptic = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]])
    np.testing.assert_array_equal(
        visualization.find_outlines(panoptic), np.array([[0, 0, 1], [0, 0, 1], [1, 1, 1]], bool)
    )


def test_wide_outlines():
    panoptic = np.repeat([[0, 0, 0, 1, 1, 1, 1]], 4, axis=0)
    for width in (1, 2, 3):
        lines = visualization.find_outlines(panoptic, width)
        assert lines.sum(axis=1).tolist() == [width] * 4


def test_overlay_blends_and_leaves_void_alone():
    image = np.full((1, 2, 3), 100, np.uint8)
    picture = visualization.overlay(np.array([[0, 255_000]]), CITYSCAPES, image, alpha=0.5, outlines=False)
    np.testing.assert_array_equal(picture, [[(114, 82, 114), (100, 100, 100)]])


def test_overlay_without_an_image_is_opaque():
    panoptic = np.array([[0, 13_001]])
    np.testing.assert_array_equal(
        visualization.overlay(panoptic, CITYSCAPES, outlines=False),
        visualization.color_panoptic(panoptic, CITYSCAPES),
    )


def test_overlay_draws_bright_outlines():
    panoptic = np.zeros((4, 4), int)
    panoptic[2:] = 8000
    picture = visualization.overlay(panoptic, CITYSCAPES)
    assert picture[2].min() >= 190
    np.testing.assert_array_equal(picture[3, 0], CITYSCAPES.colors[8])


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="`alpha` must be from 0 to 1"):
        visualization.overlay(np.zeros((2, 2), int), CITYSCAPES, alpha=alpha)


def test_legend_shows_every_class_color_beside_the_picture():
    picture = np.zeros((200, 300, 3), np.uint8)
    result = visualization.add_legend(picture, list(range(19)), CITYSCAPES)
    np.testing.assert_array_equal(result[:, :300], picture)
    shown = {tuple(color) for color in result[:, 300:].reshape(-1, 3).tolist()}
    assert set(CITYSCAPES.colors) <= shown


def test_no_classes_need_no_legend():
    picture = np.zeros((20, 30, 3), np.uint8)
    assert visualization.add_legend(picture, [], CITYSCAPES).shape == (20, 30, 3)


def test_heatmap_glows_over_a_darkened_image():
    heatmap = np.array([[[0.0], [1.0], [0.25]]], np.float32)
    image = np.full((1, 3, 3), 100, np.uint8)
    picture = visualization.overlay_heatmap(heatmap, image)
    np.testing.assert_array_equal(picture[0, :2], [(60, 60, 60), (255, 255, 255)])
    assert picture[0, 2, 0] > picture[0, 2, 1]
    np.testing.assert_array_equal(visualization.overlay_heatmap(heatmap[..., 0])[0, 0], (0, 0, 0))


def test_offset_colors_tell_direction_and_length():
    offset = np.array([[(0, 0), (0, 10), (0, -10), (10, 0), (0, 5)]], np.float32)
    white, right, left, down, half = visualization.color_offsets(offset)[0].tolist()
    assert white == [255, 255, 255]
    assert right == [255, 0, 0]
    assert left[0] == 0
    assert left[1] > 200
    assert left[2] > 200
    assert down[1] == 255
    assert half[0] == 255
    assert 100 < half[1] < 155


def test_offsets_can_be_colored_on_one_scale():
    offset = np.array([[(0, 5)]], np.float32)
    assert visualization.color_offsets(offset)[0, 0, 1] == 0
    assert 100 < visualization.color_offsets(offset, longest=10)[0, 0, 1] < 155
