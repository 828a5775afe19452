import keras
import numpy as np
import pytest

from keras_deeplab import Backbone, LabelSpace, PanopticDeepLab, PanopticEvaluation, evaluate
from tests.small_networks import FEW_BLOCKS

SPACE = LabelSpace("tiny", classes=("ground", "ball"), things=(1,), label_divisor=100)


class Scenes(list):
    label_space = SPACE


@pytest.fixture(scope="module")
def scenes():
    rows, columns = np.mgrid[:33, :65]
    samples = Scenes()
    for number in range(2):
        panoptic = np.where((rows - 16) ** 2 + (columns - 20 - 20 * number) ** 2 < 80, 101, 0).astype("int32")
        image = np.where(panoptic[..., None] > 0, np.uint8(220), np.uint8(40)).repeat(3, axis=-1)
        samples.append({"image": image, "panoptic": panoptic, "name": f"scene {number}"})
    return samples


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """A model that was evaluated after every second epoch, its callback, history and best file."""
    keras.utils.set_random_seed(0)
    options = {"image_shape": (33, 65, 3), "batch_norm_momentum": 0.9, **FEW_BLOCKS}
    backbone = Backbone.from_variant("mobilenet_v3_small", **options)
    model = PanopticDeepLab(backbone, SPACE, aspp_filters=16, semantic_filters=16, instance_filters=16)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    evaluation = PanopticEvaluation(scenes, every=2, progress=False, batch_size=2)
    best = tmp_path_factory.mktemp("best") / "best.weights.h5"
    keep = keras.callbacks.ModelCheckpoint(
        best, monitor="val_miou", mode="max", save_best_only=True, save_weights_only=True
    )
    images, maps = (np.stack([sample[key] for sample in scenes]) for key in ("image", "panoptic"))
    history = model.fit(images, maps, batch_size=2, epochs=4, verbose=0, callbacks=[evaluation, keep])
    return model, evaluation, history.history, best


def test_the_numbers_join_the_history(trained):
    _, evaluation, history, _ = trained
    assert len(history["loss"]) == 4
    assert len(history["val_miou"]) == len(history["val_pq"]) == 2
    assert history["val_miou"][-1] == evaluation.results["miou"]
    assert evaluation.results["images"] == 2


def test_the_numbers_are_those_of_the_model_then(trained, scenes):
    model, evaluation, _, _ = trained
    after = evaluate(model, scenes, batch_size=2, progress=False)
    np.testing.assert_equal(after, evaluation.results)


def test_later_callbacks_see_the_numbers(trained):
    _, _, _, best = trained
    assert best.exists()


def test_every_must_be_a_count(scenes):
    with pytest.raises(ValueError, match="every=0"):
        PanopticEvaluation(scenes, every=0)
