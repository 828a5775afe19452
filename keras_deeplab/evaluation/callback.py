"""Evaluation while a model is trained."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_deeplab.evaluation.evaluate import evaluate


class PanopticEvaluation(keras.callbacks.Callback):
    """Evaluates the model on whole images after epochs of `fit`, as `evaluate` does.

    The numbers join the epoch's logs as `val_pq`, `val_miou` and so on, for the history and for the callbacks
    that come after this one in the list, e.g. `ModelCheckpoint(monitor="val_pq", mode="max")`.

    Args:
        reader: the dataset, as for `evaluate`.
        every: int. Number of epochs from one evaluation to the next.
        prefix: str, in front of the names in the logs.
        progress: bool. Whether to show a progress bar on a terminal.
        **options: for `evaluate`, e.g. `metrics=["pq"]`, `batch_size=4`, `processes=2` or
            `convention="official"`.

    Attributes:
        results: dict, what `evaluate` gave last. `None` before the first evaluation.

    Raises:
        ValueError: when `every` is not a whole number above 0, or as `evaluate` does.

    Example:
    ```python
    model.fit(train, epochs=10, callbacks=[PanopticEvaluation(Cityscapes("/data/cityscapes", split="val"))])
    ```
    """

    def __init__(
        self,
        reader: Sequence[dict],
        every: int = 1,
        prefix: str = "val_",
        progress: bool = True,
        **options,
    ):
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be a whole number above 0. Received: every={every!r}")
        self.reader = reader
        self.every = every
        self.prefix = prefix
        self.options = {"progress": progress, **options}
        self.results = None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        self.results = evaluate(self.model, self.reader, **self.options)
        if logs is not None:
            numbers = {name: value for name, value in self.results.items() if isinstance(value, float)}
            logs.update({self.prefix + name: value for name, value in numbers.items()})
