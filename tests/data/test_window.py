import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.autoaugment import OPERATIONS, ColorOperations
from keras_deeplab.data.resize import resize_bilinear, resize_nearest
from keras_deeplab.data.resize_rules import resize_to_range
from keras_deeplab.data.window import Window, sample_size
from tests.data.generator_cases import generator_cases
from tests.references import SOURCES, load_component

VOID = 255000

sides, offsets = st.integers(1, 24), st.integers(-30, 30)


@st.composite
def windows(draw):
    resized, size = (draw(sides), draw(sides)), (draw(sides), draw(sides))
    return Window(resized, draw(offsets), draw(offsets), size, draw(st.booleans()))


def make_sample(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "panoptic": rng.integers(0, 19, (height, width), dtype=np.int32) * 1000,
        "name": "street",
    }


ALL_CASES = [
    case
    for component in ("c03_targets_cityscapes", "c03_targets_coco", "c03_targets_video")
    for case in generator_cases(component)
]


@pytest.mark.parametrize("case", ALL_CASES)
def test_windows_agree_with_deeplab2(case):
    view, expected = case.transformed(), case.expected
    if "panoptic_gt" in expected:
        np.testing.assert_array_equal(view["panoptic"], expected["panoptic_gt"])
    if "depth_gt" in expected:
        np.testing.assert_array_equal(view["depth"], expected["depth_gt"][..., 0])
    if "image" in expected and "image" in view:
        frames = [view[field] for field in ("image", "previous_image", "next_image") if field in view]
        images = np.concatenate(frames, axis=-1)
        np.testing.assert_allclose(images, expected["image"][..., : images.shape[-1]], rtol=1e-5, atol=1e-5)
    if "next_image" in expected and "image" in view:
        np.testing.assert_allclose(view["next_image"], expected["next_image"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "case", ["resize_to_range0", "resize_to_range1", "resize_to_range2", "resize_to_range3"]
)
def test_ranges_agree_with_deeplab2(source, case):
    arrays, meta = load_component("c04_preprocess", source)
    options = meta["cases"][case]
    label = arrays["in/label"][..., 0]
    resized = resize_to_range(label.shape, options["min"], options["max"], options["factor"])
    window = Window(resized, 0, 0, resized)
    np.testing.assert_array_equal(window.label(label, VOID), arrays[f"{case}/label"][..., 0])
    if f"{case}/image" in arrays:
        np.testing.assert_allclose(
            window.image(arrays["in/image"]), arrays[f"{case}/image"], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("scale", ["0.5", "0.75", "1.0", "1.3", "2.0"])
def test_scales_agree_with_deeplab2(source, scale):
    arrays, _ = load_component("c04_preprocess", source)
    label = arrays["in/label"][:49, :65, 0]
    resized = tuple(int(np.float32(side) * np.float32(scale)) for side in label.shape)
    window = Window(resized, 0, 0, resized)
    np.testing.assert_array_equal(window.label(label, VOID), arrays[f"scale{scale}/label"][..., 0])
    if f"scale{scale}/image" in arrays:
        image = arrays["in/image"][:49, :65]
        np.testing.assert_allclose(window.image(image), arrays[f"scale{scale}/image"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_padding_agrees_with_deeplab2(source):
    arrays, _ = load_component("c04_preprocess", source)
    label = arrays["in/label"][..., 0]
    view = Window(label.shape, -3, -5, (110, 140)).label(label, VOID)
    np.testing.assert_array_equal(view, arrays["pad1/label"][..., 0])


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
@pytest.mark.parametrize(
    ("case", "window"),
    [
        ("pad0", Window((97, 129), 0, 0, (97, 129))),
        ("pad1", Window((97, 129), -3, -5, (110, 140))),
        ("pad2", Window((97, 129), 0, 0, (129, 193))),
        ("pad_float", Window((97, 129), -1, -2, (100, 135))),
        ("crop", Window((97, 129), 11, 23, (40, 50))),
        ("flip", Window((97, 129), 0, 0, (97, 129), flip=True)),
    ],
)
def test_padding_cropping_and_flipping_agree_with_deeplab2(case, window):
    arrays, _ = load_component("c04_preprocess", "full")
    expected = arrays[f"{case}/image"]
    view = window.image(arrays["in/image"])
    # DeepLab2 drops the half of the padding in integer images.
    np.testing.assert_array_equal(view.astype(expected.dtype), expected)


def resize_pad_crop_flip(image, label, window):
    """What a window stands for, one step after another over whole images that are resized already."""
    margin = sum(window.size) + abs(window.top) + abs(window.left)
    image = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=127.5)
    label = np.pad(label, margin, constant_values=VOID)
    rows = slice(window.top + margin, window.top + margin + window.size[0])
    columns = slice(window.left + margin, window.left + margin + window.size[1])
    image, label = image[rows, columns], label[rows, columns]
    return (image[:, ::-1], label[:, ::-1]) if window.flip else (image, label)


@given(sides, sides, windows())
def test_windows_equal_resizing_padding_cropping_and_flipping(height, width, window):
    sample = make_sample(height, width)
    image = resize_bilinear(sample["image"], window.resized)
    label = resize_nearest(sample["panoptic"], window.resized)
    expected_image, expected_label = resize_pad_crop_flip(image, label, window)
    view = window.apply(sample, VOID)
    np.testing.assert_array_equal(view["image"], expected_image)
    np.testing.assert_array_equal(view["panoptic"], expected_label)


@given(sides, sides, windows(), st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=3))
def test_recoloured_windows_show_the_whole_image_recoloured(height, width, window, names):
    recolor = ColorOperations(tuple((name, 9.0) for name in names))
    sample = make_sample(height, width)
    whole = recolor(resize_bilinear(sample["image"], window.resized).astype(np.uint8)).astype(np.float32)
    expected, _ = resize_pad_crop_flip(whole, np.zeros(window.resized), window)
    np.testing.assert_array_equal(window.image(sample["image"], recolor=recolor), expected)


@given(sides, sides, windows())
def test_labels_come_from_the_map_or_are_padding(height, width, window):
    sample = make_sample(height, width)
    assert set(np.unique(window.apply(sample, VOID)["panoptic"])) <= {*np.unique(sample["panoptic"]), VOID}


@given(sides, sides)
def test_flipping_twice_is_the_identity(height, width):
    flip = Window((height, width), 0, 0, (height, width), flip=True)
    sample = make_sample(height, width)
    twice = flip.apply(flip.apply(sample, VOID), VOID)
    np.testing.assert_array_equal(twice["image"], sample["image"])
    np.testing.assert_array_equal(twice["panoptic"], sample["panoptic"])


@given(sides, sides, windows())
def test_neighbouring_frames_share_the_window(height, width, window):
    sample = make_sample(height, width)
    neighbours = {
        f"{frame}_{field}": sample[field] for frame in ("next", "previous") for field in ("image", "panoptic")
    }
    view = window.apply({**sample, **neighbours}, VOID)
    for name in neighbours:
        np.testing.assert_array_equal(view[name], view[name.split("_")[1]], err_msg=name)


def test_windows_leave_the_sample_as_it_was():
    sample, untouched = make_sample(9, 9), make_sample(9, 9)
    view = Window((9, 9), 0, 0, (9, 9)).apply(sample, VOID)
    view["image"][:] = 0
    view["panoptic"][:] = 0
    np.testing.assert_array_equal(sample["image"], untouched["image"])
    np.testing.assert_array_equal(sample["panoptic"], untouched["panoptic"])


def test_other_fields_are_passed_on():
    assert Window((9, 9), 0, 0, (5, 5)).apply(make_sample(9, 9), VOID)["name"] == "street"


def test_depth_is_divided_by_the_scale_and_kept_in_whole_steps():
    depth = np.array([[10.0, 0.0], [3.3, 200.0]], np.float32)
    view = Window((2, 2), 0, 0, (3, 2), scale=1.5).depth(depth)
    steps = np.trunc(np.rint(depth * 256) / 1.5)
    np.testing.assert_array_equal(view, [*(steps / 256), [0, 0]])
    assert view.dtype == np.float32


def test_depth_at_scale_one_keeps_its_fractions():
    depth = np.array([[10.001, 0.0]], np.float32)
    np.testing.assert_array_equal(Window((1, 2), 0, 0, (1, 2)).depth(depth), depth)


def test_different_sizes_of_image_and_label_are_refused():
    sample = {**make_sample(4, 4), "panoptic": np.zeros((4, 5), np.int32)}
    with pytest.raises(ValueError, match="'street' has fields of different sizes: image 4x4, panoptic 4x5"):
        sample_size(sample)


def test_samples_without_fields_are_refused():
    with pytest.raises(ValueError, match=r"needs an 'image' or a 'panoptic' map.*\['name'\]"):
        sample_size({"name": "street"})
