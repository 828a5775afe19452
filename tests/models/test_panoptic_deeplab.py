"""Panoptic-DeepLab: training, prediction, saving and loading. `..._parity.py` has the numbers of DeepLab2."""

import keras
import numpy as np
import pytest

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.hub.deeplab2 import checkpoint_keys
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from keras_deeplab.models.segmenter import Segmenter
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor
from tests.small_networks import FEW_BLOCKS

SPACE = LabelSpace(
    "tiny", classes=("ground", "sky", "ball"), things=(2,), ignore_label=255, label_divisor=100
)


@pytest.fixture(scope="module")
def scenes():
    """Four pictures of bright balls on a ground under a sky, uint8 [4, 65, 97, 3], and their maps."""
    rows, columns = np.mgrid[:65, :97]
    images = np.zeros((4, 65, 97, 3), "uint8")
    maps = np.zeros((4, 65, 97), "int32")
    for i in range(4):
        maps[i, :24] = 100
        images[i, :24], images[i, 24:] = (90, 140, 220), (80, 90, 60)
        for ball, (y, x) in enumerate([(40, 20 + 6 * i), (32 + 3 * i, 66)], start=1):
            inside = (rows - y) ** 2 + (columns - x) ** 2 < 120
            maps[i][inside] = 200 + ball
            images[i][inside] = (250, 200, 40)
    return images, maps


def small_model(**kwargs):
    options = {"image_shape": (65, 97, 3), "batch_norm_momentum": 0.9, **FEW_BLOCKS}
    backbone = Backbone.from_variant("mobilenet_v3_small", **options)
    widths = {"aspp_filters": 32, "semantic_filters": 32, "instance_filters": 32}
    return PanopticDeepLab(backbone, SPACE, **widths, **kwargs)


@pytest.fixture(scope="module")
def trained(scenes):
    """A small model that has learned the four pictures."""
    keras.utils.set_random_seed(0)
    model = small_model(postprocessor=PanopticPostprocessor((2,), 100, nms_kernel=7, top_k=8))
    model.compile(optimizer=keras.optimizers.Adam(4e-3))
    history = model.fit(*scenes, batch_size=4, epochs=80, verbose=0)
    return model, history.history


def test_training_learns_and_logs_every_term(trained):
    _, history = trained
    for name in ("loss", "semantic_loss", "center_loss", "offset_loss"):
        assert history[name][-1] < 0.5 * history[name][0], name
    total = sum(history[f"{term}_loss"][-1] for term in ("semantic", "center", "offset"))
    assert history["loss"][-1] == pytest.approx(total, rel=1e-4)


def test_a_trained_model_finds_the_instances(trained, scenes):
    model, _ = trained
    images, maps = scenes
    predicted = model.predict(images, batch_size=2, verbose=0)
    assert predicted["panoptic"].dtype == np.int32
    assert (predicted["semantic"] == maps // 100).mean() > 0.95
    quality = kd_quality(maps, predicted["panoptic"])
    assert quality > 0.7


def kd_quality(truth, prediction):
    from keras_deeplab.metrics import PanopticQuality

    metric = PanopticQuality(SPACE)
    metric.update(truth, prediction)
    return metric.result()["pq"]


def test_one_compiled_call_equals_heads_then_postprocessing(trained, scenes):
    model, _ = trained
    images = scenes[0][:1]
    heads = keras.Model.predict(model, images.astype("float32") / 127.5 - 1, verbose=0)
    expected = {k: keras.ops.convert_to_numpy(v) for k, v in model.postprocessor(heads).items()}
    actual = model.predict(images, verbose=0)
    assert set(actual) == set(expected)
    assert (actual["panoptic"] == expected["panoptic"]).mean() > 0.999
    np.testing.assert_allclose(actual["score"], expected["score"], atol=1e-3)


def test_segment_restores_the_size_and_names_the_segments(trained, scenes):
    model, _ = trained
    results = list(model.segment([*list(scenes[0][:2]), scenes[0][2][:40]], batch_size=2, progress=False))
    assert [r.panoptic.shape for r in results] == [(65, 97), (65, 97), (40, 97)]
    assert {"ground", "sky", "ball"} == {s["class"] for s in results[0].segments}
    one = model.segment(scenes[0][0])
    np.testing.assert_array_equal(one.panoptic, results[0].panoptic)


def test_a_preset_predicts_the_same(trained, scenes, tmp_path):
    model, _ = trained
    model.save_to_preset(tmp_path / "preset")
    assert not any("optimizer" in name for name in h5_names(tmp_path / "preset" / "task.weights.h5"))
    copy = Segmenter.from_preset(tmp_path / "preset")
    assert type(copy) is PanopticDeepLab
    assert copy.label_space == SPACE
    expected, actual = (m.predict(scenes[0], verbose=0) for m in (model, copy))
    np.testing.assert_allclose(actual["score"], expected["score"], atol=1e-5)
    np.testing.assert_array_equal(actual["panoptic"], expected["panoptic"])


def h5_names(path):
    import h5py

    names = []
    with h5py.File(path) as file:
        file.visit(names.append)
    return names


def test_a_preset_takes_another_image_shape(trained, tmp_path):
    model, _ = trained
    model.save_to_preset(tmp_path / "preset")
    copy = PanopticDeepLab.from_preset(tmp_path / "preset", image_shape=(97, 129, 3))
    assert copy.preprocessor.image_size == (97, 129)
    assert copy.predict(np.zeros((1, 97, 129, 3), "uint8"), verbose=0)["panoptic"].shape == (1, 97, 129)


def test_a_preset_without_weights_is_fresh(trained, tmp_path):
    model, _ = trained
    model.save_to_preset(tmp_path / "preset")
    fresh = PanopticDeepLab.from_preset(tmp_path / "preset", load_weights=False)
    kernels = [keras.ops.convert_to_numpy(m.get_layer("center_head").weights[0]) for m in (model, fresh)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_other_classes_keep_every_weight_that_fits(trained, tmp_path):
    model, _ = trained
    model.save_to_preset(tmp_path / "preset")
    two = LabelSpace("two", classes=("background", "ball"), things=(1,), label_divisor=50)
    with pytest.warns(UserWarning, match="fresh, for other classes: semantic_head/predict$"):
        copy = PanopticDeepLab.from_preset(tmp_path / "preset", label_space=two)
    assert copy.label_space == two
    assert (copy.postprocessor.things, copy.postprocessor.label_divisor) == ((1,), 50)
    assert copy.output["semantic_logits"].shape[-1] == 2
    fresh = []
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        equal = ours.shape == theirs.shape and np.array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )
        fresh += [] if equal else [theirs.path]
    assert fresh == ["semantic_head/predict/kernel", "semantic_head/predict/bias"]


def test_saving_twice_replaces_the_weights(trained, tmp_path):
    model, _ = trained
    small_model().save_to_preset(tmp_path / "preset")
    model.save_to_preset(tmp_path / "preset")
    copy = Segmenter.from_preset(tmp_path / "preset")
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_evaluation_and_validation_give_the_terms(trained, scenes):
    model, _ = trained
    result = model.evaluate(*scenes, batch_size=2, return_dict=True, verbose=0)
    assert result["loss"] == pytest.approx(
        result["semantic_loss"] + result["center_loss"] + result["offset_loss"], rel=1e-4
    )


def test_images_of_any_size_go_through_a_model_without_a_fixed_shape():
    backbone = Backbone.from_variant("mobilenet_v3_small", **FEW_BLOCKS)
    model = PanopticDeepLab(backbone, SPACE, aspp_filters=16, semantic_filters=16, instance_filters=16)
    results = list(model.segment([np.zeros((40, 60, 3), "uint8"), np.zeros((70, 33, 3), "uint8")]))
    assert [r.semantic.shape for r in results] == [(40, 60), (70, 33)]


def test_a_semantic_model_gives_semantic_maps():
    model = small_model(instance_branch=False)
    maps = model.predict(np.zeros((2, 65, 97, 3), "uint8"), verbose=0)
    assert set(maps) == {"semantic", "score"}
    assert model.segment(np.zeros((30, 40, 3), "uint8")).semantic.shape == (30, 40)


def test_images_of_another_size_are_refused_by_predict(trained):
    with pytest.raises(ValueError, match=r"\(2, 33, 97, 3\).*any size"):
        trained[0].predict(np.zeros((2, 33, 97, 3), "uint8"))


def test_unknown_arguments_are_named_with_the_known_ones():
    with pytest.raises(TypeError, match=r"PanopticDeepLab has no argument 'classes'.*label_space"):
        small_model(classes=19)


def test_images_of_other_channels_are_refused_by_the_network(trained):
    with pytest.raises(ValueError, match=r"expected shape=\(None, 65, 97, 3\)"):
        trained[0](np.zeros((1, 65, 97, 1), "float32"))


def test_bfloat16_keeps_the_heads_in_float32():
    options = {"image_shape": (33, 65, 3), "dtype": "mixed_bfloat16", **FEW_BLOCKS}
    backbone = Backbone.from_variant("mobilenet_v3_small", **options)
    model = PanopticDeepLab(backbone, CITYSCAPES, aspp_filters=16, semantic_filters=16, instance_filters=16)
    heads = keras.Model.predict(model, np.zeros((1, 33, 65, 3), "float32"), verbose=0)
    assert {head.dtype for head in heads.values()} == {np.dtype("float32")}
    assert model.get_layer("semantic_decoder").compute_dtype == "bfloat16"


def test_every_variable_has_its_own_checkpoint_key():
    model = small_model()
    assert len(checkpoint_keys(model)) == len(model.weights)
