import pytest

from keras_deeplab.data.prediction_writers.places import dvps_stem, frame_of, named


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("0002/000005",), ("0002", 5)),
        (("0002/000005.PNG",), ("0002", 5)),
        (("images/val/0002/000005.jpg",), ("0002", 5)),
        (("street_0_000001/000012",), ("street_0_000001", 12)),
        (("000002_000005_munster_000110_000004",), ("000002", 5)),
        (("000002_000005",), ("000002", 5)),
        ((None, "0009", 7), ("0009", 7)),
        ((None, 9, 7), ("0009", 7)),
        (("0002/000005", "0010", None), ("0010", 5)),
        (("0002/000005", None, 0), ("0002", 0)),
    ],
)
def test_sequence_and_frame(arguments, place):
    assert frame_of(*arguments) == place


@pytest.mark.parametrize("name", [None, "street_0_000001", "a/b", "000005", "0002/000005.gif"])
def test_what_names_no_frame(name):
    with pytest.raises(ValueError, match=r"for videos and needs .*Pass `sequence` and `frame`"):
        frame_of(name)
    with pytest.raises(ValueError, match="for videos"):
        frame_of(name and "x", sequence="0001")


@pytest.mark.parametrize("sequence", ["", "a/b", "..", "a\\b", ".hidden"])
def test_sequences_that_are_no_folder(sequence):
    with pytest.raises(ValueError, match="`sequence` must be"):
        frame_of(None, sequence, 0)


def test_negative_frames():
    with pytest.raises(ValueError, match=r"`frame` must be at least 0. Received: -1"):
        frame_of(None, 0, -1)


@pytest.mark.parametrize(
    ("arguments", "stem"),
    [
        (("000002_000005_munster_000110_000009",), "000002_000005_munster_000110_000009"),
        (("000002_000005_munster_000110_000009_leftImg8bit.png",), "000002_000005_munster_000110_000009"),
        (("000002_000005",), "000002_000005"),
        (("scene/7", 2, 7), "000002_000007"),
        ((None, "0002", 7), "0002_000007"),
        (("000002_000005_munster", 3, 5), "000003_000005"),
    ],
)
def test_names_of_dvps(arguments, stem):
    assert dvps_stem(*arguments) == stem


def test_dvps_needs_numbered_sequences():
    with pytest.raises(ValueError, match=r"`sequence` must be a number in this layout. Received: 'street_0'"):
        dvps_stem("street_0/000001")


def test_images_need_names():
    assert named("a") == "a"
    with pytest.raises(ValueError, match="needs a name"):
        named(None)
