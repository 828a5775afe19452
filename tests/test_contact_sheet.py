import numpy as np
import pytest

from keras_deeplab.contact_sheet import contact_sheet
from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.labels import CITYSCAPES

CAPTION, GAP = 18, 6


def frames(count, panoptic=True):
    images = np.full((count, 40, 80, 3), np.arange(0, 200, 200 // count)[:count, None, None, None], np.uint8)
    maps = np.full((count, 40, 80), 13_000, np.int32) if panoptic else None
    return ArrayReader(images, maps, CITYSCAPES)


def picture_at(sheet, row, column, heights, width):
    """Mean colour of the picture below a caption, `heights` high, in a grid of cells."""
    left = GAP + column * (width + GAP)
    top = GAP + row * (CAPTION + sum(heights) + GAP) + CAPTION
    return [
        np.asarray(sheet)[top + sum(heights[:i]) :][: heights[i], left : left + width].mean((0, 1))
        for i in range(len(heights))
    ]


def test_images_stand_above_their_labels_in_a_grid():
    sheet = contact_sheet(frames(5), count=5, columns=2, cell_width=80)
    assert sheet.size == (2 * 80 + 3 * GAP, 3 * (CAPTION + 2 * 40) + 4 * GAP)
    for index in range(5):
        image, labels = picture_at(sheet, index // 2, index % 2, [40, 40], 80)
        np.testing.assert_allclose(image, 40 * index, atol=1)
        expected = 0.25 * 40 * index + 0.75 * np.array(CITYSCAPES.colors[13])
        np.testing.assert_allclose(labels, expected, atol=1)


def test_samples_come_from_all_over_the_dataset():
    sheet = contact_sheet(frames(5, panoptic=False), count=3, columns=3, cell_width=80)
    shades = [picture_at(sheet, 0, column, [40], 80)[0][0] for column in range(3)]
    np.testing.assert_allclose(shades, [0, 80, 160], atol=1)


class Broken:
    label_space = CITYSCAPES

    def __init__(self, count, broken):
        self.reader, self.broken = frames(count), broken

    def __len__(self):
        return len(self.reader)

    def __getitem__(self, index):
        if index in self.broken:
            raise ValueError("truncated")
        return self.reader[index]


def test_unreadable_samples_are_left_out():
    assert contact_sheet(Broken(3, {1}), cell_width=80).size[0] == 2 * 80 + 3 * GAP
    with pytest.raises(ValueError, match="None of the samples"):
        contact_sheet(Broken(3, {0, 1, 2}))
