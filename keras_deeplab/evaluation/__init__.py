"""How well a model does on a labelled dataset."""

from keras_deeplab.evaluation.compare import compare
from keras_deeplab.evaluation.evaluate import evaluate

__all__ = ["compare", "evaluate"]
