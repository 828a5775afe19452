import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.ops.classification import classify_pixels
from keras_deeplab.ops.compilation import compiled
from keras_deeplab.ops.grouping import group_pixels
from keras_deeplab.ops.peaks import find_centers
from keras_deeplab.ops.segments import merge_semantic_and_instance
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor
from tests.references import SOURCES, load_component

_group = compiled(group_pixels)


@functools.cache
def references(source):
    """Inputs and parameters of every run: {"case/run": (heads, parameters, outputs)}."""
    runs = {}
    # The compact copy of the small component is complete.
    names = ["c02_panoptic_deeplab_257x513"] + ["c02_panoptic_deeplab_small"] * (source == "compact")
    for name in names:
        arrays, meta = load_component(name, source)
        for case, parameters in meta["cases"].items():
            heads = {
                "semantic_logits": arrays[f"{case}/in/semantic_logits_x16"].astype("float32") / 16,
                "center_heatmap": arrays[f"{case}/in/center_heatmap"].astype("float32")[..., None],
                "center_offset": arrays[f"{case}/in/offset_yx"].astype("float32"),
            }
            heads = {key: value if value.ndim == 4 else value[None] for key, value in heads.items()}
            for i, run in enumerate(parameters):
                prefix = f"{case}/run{i}/out/"
                outputs = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
                runs[f"{case}/run{i}"] = heads, run, {**outputs, "semantic": arrays[f"{case}/out/semantic"]}
    return runs


RUNS = [(source, run) for source in SOURCES for run in references(source)]
top_k_binds = {(source, run) for source, run in RUNS if references(source)[run][1].get("topk_active")}


def centers_of(heads, run, top_k):
    centers, scores = find_centers(heads["center_heatmap"], run["thr"], run["nms"], top_k)
    return ops.convert_to_numpy(centers), ops.convert_to_numpy(scores)


def group(centers, scores, heads, is_thing):
    # One number of slots for all runs of a case, so that they share one compilation.
    slots = 400 - centers.shape[1]
    centers, scores = np.pad(centers, [(0, 0), (0, slots), (0, 0)]), np.pad(scores, [(0, 0), (0, slots)])
    inputs = (ops.convert_to_tensor(value) for value in (centers, scores, heads["center_offset"], is_thing))
    return ops.convert_to_numpy(_group(*inputs))


def merge(semantic, instance, run, num_classes):
    return ops.convert_to_numpy(
        merge_semantic_and_instance(
            ops.convert_to_tensor(semantic),
            ops.convert_to_tensor(instance),
            num_classes,
            400,
            run["things"],
            run["label_divisor"],
            run["void"],
            run["stuff_area_limit"],
        )
    )


def renumber(panoptic, label_divisor):
    """The same map with instances numbered within their class in order of first appearance."""
    result = panoptic.copy()
    for image, renumbered in zip(panoptic, result, strict=True):
        ids, first = np.unique(image, return_index=True)
        ids = ids[np.argsort(first)]
        for c in np.unique(ids // label_divisor):
            members = ids[(ids // label_divisor == c) & (ids % label_divisor > 0)]
            for number, member in enumerate(members, start=1):
                renumbered[image == member] = c * label_divisor + number
    return result


@pytest.mark.parametrize(("source", "name"), [r for r in RUNS if r not in top_k_binds])
def test_equals_deeplab2(source, name):
    heads, run, outputs = references(source)[name]
    semantic = ops.convert_to_numpy(classify_pixels(heads["semantic_logits"])[0])
    np.testing.assert_array_equal(semantic, outputs["semantic"])

    centers, scores = centers_of(heads, run, 400)
    if "centers_nms" in outputs:
        peaks = np.zeros(semantic.shape, "float32")
        image = np.broadcast_to(np.arange(len(centers))[:, None], scores.shape)
        np.maximum.at(peaks, (image, centers[..., 0], centers[..., 1]), scores)
        np.testing.assert_array_equal(peaks, outputs["centers_nms"])

    is_thing = np.isin(semantic, run["things"])
    instance = group(centers, scores, heads, is_thing)
    np.testing.assert_array_equal(instance, outputs["instance"])
    if "instance_scores" in outputs:
        heat = np.take_along_axis(np.pad(scores, [(0, 0), (1, 0)]), instance.reshape(len(instance), -1), 1)
        np.testing.assert_array_equal(heat.reshape(instance.shape), outputs["instance_scores"])

    if "panoptic_pytf" in outputs:
        panoptic = merge(semantic, instance, run, heads["semantic_logits"].shape[-1])
        divisor = run["label_divisor"]
        np.testing.assert_array_equal(
            renumber(panoptic, divisor), renumber(outputs["panoptic_pytf"], divisor)
        )


@pytest.mark.parametrize(("source", "name"), sorted(top_k_binds))
def test_keeps_exactly_top_k_where_deeplab2_drops_the_kth(source, name):
    """DeepLab2 keeps the centres strictly above the k-th best score: one fewer, or more with ties."""
    heads, run, outputs = references(source)[name]
    centers, scores = centers_of(heads, run, run["k"])
    assert (scores > 0).all()

    above = scores[0] > scores.min()
    semantic = outputs["semantic"]
    is_thing = np.isin(semantic, run["things"])
    instance = group(centers[:, above], scores[:, above], heads, is_thing)
    np.testing.assert_array_equal(instance, outputs["instance_sorted_topk"])
    if above.any():
        panoptic = merge(semantic, instance, run, heads["semantic_logits"].shape[-1])
        divisor, expected = run["label_divisor"], outputs["panoptic_tfop_sorted_topk"]
        np.testing.assert_array_equal(renumber(panoptic, divisor), renumber(expected, divisor))


@pytest.mark.parametrize("name", ["batch3_17x33/run0", "vote_tie8x12/run2", "empty_centers17x33/run2"])
def test_layer_equals_deeplab2(name):
    heads, run, outputs = references("compact")[name]
    postprocessor = PanopticPostprocessor(
        run["things"],
        label_divisor=run["label_divisor"],
        ignore_label=run["void"],
        center_threshold=run["thr"],
        nms_kernel=run["nms"],
        top_k=run["k"],
        stuff_area_limit=run["stuff_area_limit"],
    )
    maps = to_numpy(postprocessor(heads))
    np.testing.assert_array_equal(maps["semantic"], outputs["semantic"])
    np.testing.assert_array_equal(maps["instance"], outputs["instance"])
    if "panoptic_pytf" in outputs:
        divisor = run["label_divisor"]
        np.testing.assert_array_equal(
            renumber(maps["panoptic"], divisor), renumber(outputs["panoptic_pytf"], divisor)
        )


def to_numpy(maps):
    return {name: ops.convert_to_numpy(value) for name, value in maps.items()}


def small_heads(batch=1, dtype="float32"):
    """Two things of class 1 left and right, stuff 0 between them, one thing pixel of class 2 astray."""
    semantic = np.array([[1, 1, 0, 0, 1], [1, 2, 0, 0, 1]])
    heatmap = np.array([[0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.25]])
    offset = np.zeros((2, 5, 2))
    heads = {
        "semantic_logits": 2 * np.eye(3)[semantic],
        "center_heatmap": heatmap[..., None],
        "center_offset": offset,
    }
    return {key: np.repeat(value[None], batch, axis=0).astype(dtype) for key, value in heads.items()}


SMALL = {"things": (1, 2), "label_divisor": 10, "ignore_label": 9, "nms_kernel": 3, "top_k": 4}
PROBABILITY = np.exp(2) / (np.exp(2) + 2)


def assert_small_maps(maps):
    panoptic = [[11, 11, 0, 0, 12], [11, 11, 0, 0, 12]]
    heat = [[0.5, 0.5, 1, 1, 0.25], [0.5, 0.5, 1, 1, 0.25]]
    for image in range(len(maps["panoptic"])):
        assert maps["panoptic"][image].tolist() == panoptic
        assert maps["semantic"][image].tolist() == [[1, 1, 0, 0, 1], [1, 2, 0, 0, 1]]
        assert maps["instance"][image].tolist() == [[1, 1, 0, 0, 2], [1, 1, 0, 0, 2]]
        np.testing.assert_allclose(maps["score"][image], np.multiply(heat, PROBABILITY), rtol=1e-6)
        assert maps["centers"][image].tolist() == [[0, 0, 0.5], [1, 4, 0.25], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_maps_of_a_small_scene(dtype):
    assert_small_maps(to_numpy(PanopticPostprocessor(**SMALL)(small_heads(dtype=dtype))))


def test_heads_keep_their_precision_under_a_half_precision_policy():
    heads = small_heads()
    heads["semantic_logits"] = np.array([[[[1.0, 1.0001, 0]]]], "float32")
    heads = {**heads, "center_heatmap": np.zeros((1, 1, 1, 1)), "center_offset": np.zeros((1, 1, 1, 2))}
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        maps = to_numpy(PanopticPostprocessor(**SMALL)(heads))
    finally:
        keras.config.set_dtype_policy("float32")
    assert maps["semantic"].tolist() == [[[1]]]


def test_void_has_no_score():
    heads = small_heads()
    heads["center_heatmap"][:] = 0
    maps = to_numpy(PanopticPostprocessor(**SMALL, stuff_area_limit=4)(heads))
    assert (maps["panoptic"] == [[90, 90, 0, 0, 90], [90, 90, 0, 0, 90]]).all()
    assert (maps["score"][maps["panoptic"] == 90] == 0).all()
    np.testing.assert_allclose(maps["score"][maps["panoptic"] == 0], PROBABILITY, rtol=1e-6)
    assert not maps["centers"].any()


def test_class_that_is_the_ignore_label_is_void_without_score():
    maps = to_numpy(PanopticPostprocessor(**{**SMALL, "ignore_label": 0})(small_heads()))
    assert maps["panoptic"].tolist() == [[[11, 11, 0, 0, 12], [11, 11, 0, 0, 12]]]
    assert (maps["score"][maps["panoptic"] == 0] == 0).all()


def test_all_void():
    maps = to_numpy(
        PanopticPostprocessor(**SMALL, stuff_area_limit=99)(
            small_heads() | {"center_heatmap": np.zeros((1, 2, 5, 1), "float32")}
        )
    )
    assert (maps["panoptic"] == 90).all()
    assert not maps["score"].any()


def test_heads_without_centers_give_the_semantic_map():
    heads = small_heads()
    maps = to_numpy(PanopticPostprocessor(**SMALL)({"semantic_logits": heads["semantic_logits"]}))
    assert set(maps) == {"semantic", "score"}
    assert maps["semantic"].tolist() == [[[1, 1, 0, 0, 1], [1, 2, 0, 0, 1]]]
    np.testing.assert_allclose(maps["score"], PROBABILITY, rtol=1e-6)


def functional_model(height, width, **kwargs):
    channels = {"semantic_logits": 3, "center_heatmap": 1, "center_offset": 2}
    heads = {name: keras.Input((height, width, c), name=name) for name, c in channels.items()}
    return keras.Model(heads, PanopticPostprocessor(**SMALL, **kwargs)(heads))


@pytest.mark.parametrize("size", [(2, 5), (None, None)])
def test_predict_with_a_functional_model(size):
    model = functional_model(*size)
    maps = model.predict(small_heads(batch=3), batch_size=2, verbose=0)
    assert len(maps["panoptic"]) == 3
    assert_small_maps(maps)
    assert {name: value.dtype.name for name, value in maps.items()} == {
        "panoptic": "int32",
        "semantic": "int32",
        "instance": "int32",
        "score": "float32",
        "centers": "float32",
    }


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs eagerly by default")
def test_predict_compiled():
    model = functional_model(2, 5)
    model.compile(jit_compile=True)
    assert_small_maps(model.predict(small_heads(batch=2), verbose=0))


def test_symbolic_shapes():
    outputs = functional_model(None, 5).output
    shapes = {name: value.shape for name, value in outputs.items()}
    assert shapes["panoptic"] == shapes["score"] == shapes["instance"] == (None, None, 5)
    assert shapes["centers"] == (None, 4, 3)


def test_saved_model_gives_the_same_maps(tmp_path):
    functional_model(2, 5).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert_small_maps(model.predict(small_heads(), verbose=0))


def test_config_holds_the_constructor_arguments():
    options = {**SMALL, "center_threshold": 0.3, "stuff_area_limit": 7}
    config = PanopticPostprocessor(**options).get_config()
    assert {name: config[name] for name in options} == options
    assert PanopticPostprocessor.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("things", [-1]),
        ("things", [0.5]),
        ("things", [9]),
        ("label_divisor", 1),
        ("label_divisor", 2**30),
        ("ignore_label", -1),
        ("ignore_label", 1),
        ("center_threshold", -0.1),
        ("nms_kernel", 0),
        ("top_k", 0),
        ("top_k", None),
        ("stuff_area_limit", -5),
        ("stuff_area_limit", True),
    ],
)
def test_bad_argument_is_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        PanopticPostprocessor(**{**SMALL, name: value})(small_heads())
