"""An evaluation as one page."""

from keras_deeplab.evaluation.report.examples import choose_examples, load_examples
from keras_deeplab.evaluation.report.page import write_report

__all__ = ["choose_examples", "load_examples", "write_report"]
