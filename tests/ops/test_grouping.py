import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.ops import nearest_center as running_minimum
from keras_deeplab.ops.compilation import compiled
from keras_deeplab.ops.grouping import group_all_pixels, group_pixels, votes

_group = compiled(group_pixels)
_group_all = compiled(
    lambda centers, scores, offset, mask: group_all_pixels(centers, scores, *votes(offset), mask)
)
only_torch = pytest.mark.skipif(keras.backend.backend() != "torch", reason="other backends have no fast path")


def group(centers, scores, offset, mask=None, function=_group):
    offset = np.asarray(offset, "float32")
    mask = np.ones(offset.shape[:3], bool) if mask is None else mask
    inputs = (np.asarray(centers, "int32"), np.asarray(scores, "float32"), offset, mask)
    return ops.convert_to_numpy(function(*(ops.convert_to_tensor(i) for i in inputs)))


def distance_matrix(centers, scores, offset):
    """float32 (k, h, w) of one image, infinite for unused slots; evaluated as the functions do."""
    h, w, _ = offset.shape
    y = np.arange(h, dtype="float32")[:, None] + offset[..., 0]
    x = np.arange(w, dtype="float32") + offset[..., 1]
    centers = np.where(np.asarray(scores)[:, None] > 0, np.asarray(centers, "float32"), np.inf)
    with np.errstate(all="ignore"):
        return np.square(y - centers[:, 0, None, None]) + np.square(x - centers[:, 1, None, None])


def assert_nearest(instance, centers, scores, offset):
    """Equal to the matrix's argmin, except where a fused multiply-add can turn a near tie around."""
    for image in range(len(instance)):
        distances = distance_matrix(centers[image], scores[image], offset[image])
        expected = distances.argmin(0)
        ids = instance[image].astype(int) - 1
        chosen = np.take_along_axis(distances, ids[None], 0)[0]
        best = distances.min(0)
        exact_tie_or_rounding = chosen <= best * np.float32(1 + 5e-7)
        np.testing.assert_array_equal(exact_tie_or_rounding | (ids == expected), True)
        # Integers up to 4096 apart have exact squares: no rounding, no difference.
        if np.array_equal(offset[image], np.round(offset[image])) and np.abs(offset[image]).max() < 1000:
            np.testing.assert_array_equal(ids, expected)


def random_case(seed, scale, whole, crowded):
    rng = np.random.default_rng(seed)
    shape = (2, 37, 70)
    slots = 24
    reach = (6, 9) if crowded else shape[1:]
    centers = np.stack([rng.integers(0, n, (2, slots)) for n in reach], axis=-1)
    scores = np.ones((2, slots))
    scores[0, rng.integers(1, slots) :] = 0
    offset = rng.normal(0, scale, (*shape, 2)).astype("float32")
    return centers, scores, np.round(offset) if whole else offset


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.0, 3.0, 40.0, 300.0, 1e5]),
    whole=st.booleans(),
    crowded=st.booleans(),
)
def test_pixels_go_to_the_nearest_center(seed, scale, whole, crowded):
    case = random_case(seed, scale, whole, crowded)
    assert_nearest(group(*case), *case)


@only_torch
@pytest.mark.parametrize("scale", [3.0, 2e3, 1e4, 1e7, 1e18, 1e30])
def test_fast_path_equals_the_generic_one_at_any_distance(scale):
    for seed in range(5):
        case = random_case(seed, scale, whole=False, crowded=seed % 2)
        np.testing.assert_array_equal(group(*case), group(*case, function=_group_all))


@only_torch
def test_fast_path_equals_the_generic_one_on_a_large_image():
    rng = np.random.default_rng(0)
    centers = np.stack([rng.integers(0, 300, (1, 90)), rng.integers(0, 400, (1, 90))], axis=-1)
    offset = rng.normal(0, 80, (1, 300, 400, 2))
    case = centers, np.ones((1, 90)), offset
    np.testing.assert_array_equal(group(*case), group(*case, function=_group_all))


@only_torch
def test_fast_path_equals_the_generic_one_on_a_plateau_of_centers():
    y, x = np.meshgrid(np.arange(12), np.arange(12), indexing="ij")
    centers = np.stack([y.ravel(), x.ravel()], axis=-1)[None]
    offset = np.random.default_rng(0).uniform(-40, 40, (1, 40, 40, 2))
    case = centers, np.ones((1, 144)), offset
    np.testing.assert_array_equal(group(*case), group(*case, function=_group_all))


def test_first_center_wins_ties():
    instance = group([[[0, 0], [0, 2], [0, 2]]], [[1, 1, 1]], np.zeros((1, 1, 3, 2)))
    assert instance.tolist() == [[[1, 1, 2]]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("axis", [0, 1])
def test_votes_without_a_finite_distance_go_to_the_first_center(value, axis):
    offset = np.zeros((1, 2, 3, 2))
    offset[0, 1, 2, axis] = value
    instance = group([[[0, 2], [1, 2]]], [[1, 1]], offset)
    assert instance.tolist() == [[[1, 1, 1], [2, 2, 1]]]


def test_pixels_outside_of_the_mask_have_no_instance():
    mask = np.array([[[True, False, True]]])
    assert group([[[0, 1]]], [[0.5]], np.full((1, 1, 3, 2), np.nan), mask).tolist() == [[[1, 0, 1]]]


def test_no_centers():
    assert not group(np.zeros((1, 3, 2)), np.zeros((1, 3)), np.zeros((1, 4, 5, 2))).any()


def test_images_of_a_batch_use_their_own_centers():
    centers = [[[0, 0], [0, 3]], [[0, 3], [0, 0]], [[0, 1], [0, 0]]]
    scores = [[1, 1], [1, 0], [0, 0]]
    instance = group(centers, scores, np.zeros((3, 1, 4, 2)))
    assert instance.tolist() == [[[1, 1, 2, 2]], [[1, 1, 1, 1]], [[0, 0, 0, 0]]]


def test_single_pixel():
    assert group([[[0, 0]]], [[0.2]], [[[[5.0, -7.0]]]]).tolist() == [[[1]]]


def test_half_precision_offsets_are_added_in_float32():
    # 2047 + 1.5 is no float16.
    centers = np.array([[[0, 2047], [0, 2049]]])
    offset = np.zeros((1, 1, 2048, 2), "float16")
    offset[0, 0, 2047, 1] = 1.5
    inputs = (centers, np.ones((1, 2), "float32"), offset, np.ones((1, 1, 2048), bool))
    instance = ops.convert_to_numpy(_group(*(ops.convert_to_tensor(i) for i in inputs)))
    assert instance[0, 0, 2047] == 2


def test_result_is_int32():
    assert group([[[0, 0]]], [[1]], np.zeros((1, 2, 2, 2))).dtype == np.int32


def test_no_tensor_of_centers_times_pixels(monkeypatch):
    """The loop's state is two values per pixel, whatever the number of centres."""
    states = []

    def record(lower, upper, body, start):
        states.append([tuple(s.shape) for s in start])
        results = body(0, start)
        states.append([tuple(s.shape) for s in results])
        return results

    monkeypatch.setattr(running_minimum.ops, "fori_loop", record)
    y = ops.zeros((1, 5, 7))
    running_minimum.nearest_center(ops.zeros((1, 50, 2)), 50, y, y)
    assert states == [[(1, 5, 7)] * 2] * 2


@only_torch
def test_cells_list_few_candidates():
    from keras_deeplab.ops.torch_nearest_center import Cells

    rng = np.random.default_rng(0)
    centers = np.stack([rng.integers(0, 1025, 200), rng.integers(0, 2049, 200)], axis=-1)
    cells = Cells(ops.convert_to_tensor(centers.astype("float32")), 1025, 2049)
    assert len(cells.table) < 20
    assert float(cells.counts.float().mean()) < 4
