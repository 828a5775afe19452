"""The loss of semantic models."""

import numpy as np
import pytest
from keras import ops

from keras_deeplab.losses.dense import semantic_cross_entropy
from keras_deeplab.losses.semantic import SemanticLoss

NUMPY = ops.convert_to_numpy
LABELS = np.array([[[0, 1], [2, 9]]], "int32")
LOGITS = np.random.default_rng(0).normal(size=(1, 2, 2, 3)).astype("float32")


def test_it_is_the_cross_entropy_of_labelled_pixels():
    loss = NUMPY(
        SemanticLoss(ignore_label=9)({"semantic": LABELS}, {"semantic_logits": LOGITS})["semantic_loss"]
    )
    logs = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    expected = -(logs[0, 0, 0, 0] + logs[0, 0, 1, 1] + logs[0, 1, 0, 2]) / 3
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def test_weights_and_the_hardest_pixels_count_when_given():
    weights = np.array([[[1, 2], [3, 1]]], "float32")
    targets = {"semantic": LABELS, "semantic_weight": weights, "center_heatmap": None}
    actual = SemanticLoss(9, semantic_top_k=0.5)(targets, {"semantic_logits": LOGITS})["semantic_loss"]
    expected = semantic_cross_entropy(LABELS, LOGITS, weights, 9, 0.5)
    np.testing.assert_allclose(NUMPY(actual), NUMPY(expected))


def test_its_configuration_round_trips():
    assert SemanticLoss.from_config(SemanticLoss(7, 0.2).get_config()).get_config() == {
        "ignore_label": 7,
        "semantic_top_k": 0.2,
    }
    with pytest.raises(ValueError, match="`semantic_top_k` must lie in"):
        SemanticLoss(semantic_top_k=0)
