"""The batches of a part of a run, from any step on, with the places in the data that they end at."""

from __future__ import annotations

import grain

from keras_deeplab.data.pipeline import Pipeline


class RunBatches(grain.IterDataset):
    """Batches `first_step` to `last_step` of a run, as a Grain dataset for `fit`.

    Where the pipeline leaves out broken samples, the step alone does not say which sample comes next. The
    state of Grain's iterator does: it is noted after every `interval` batches.

    Args:
        pipeline: `data.Pipeline`, in training.
        first_step: int. Number of batches that were trained on before.
        last_step: int. The batch, counted from 1, that the run ends with.
        interval: int. Number of batches from one noted place to the next, counted from `first_step`.
        position: what `find_position(first_step)` gave; `None` goes by the step.

    Attributes:
        error: what reading a batch raised; `None` for nothing.

    Example:
    ```python
    list(RunBatches(pipeline, first_step=100, last_step=102))  # two batches
    ```
    """

    def __init__(
        self,
        pipeline: Pipeline,
        first_step: int,
        last_step: int,
        interval: int = 1,
        position: dict | None = None,
    ):
        super().__init__()
        self.first_step = first_step
        self.last_step = last_step
        self.error = None
        self._pipeline = pipeline
        self._interval = interval
        self._start = position
        self._notes_positions = pipeline.loader.on_error == "skip"
        self._positions = {}

    def __iter__(self) -> grain.DatasetIterator:
        if self._start is None:
            return _Counted(self, iter(self._pipeline.dataset_from(self.first_step)))
        batches = iter(self._pipeline.dataset)
        batches.set_state(self._start)
        return _Counted(self, batches)

    def find_position(self, step: int) -> dict | None:
        """The place in the data after a step, `None` where the step says it.

        Args:
            step: int. One that a place was noted after.

        Returns:
            dict of JSON values, or `None`.
        """
        return self._positions[step] if self._notes_positions else None

    def note(self, step: int, batches: grain.DatasetIterator) -> None:
        """Notes the place of an iterator that has given the batch of a step."""
        is_end = (step - self.first_step) % self._interval == 0 or step == self.last_step
        if self._notes_positions and is_end:
            self._positions[step] = batches.get_state()


class _Counted(grain.DatasetIterator):
    """An iterator that ends with the last step of the run."""

    def __init__(self, run, batches):
        super().__init__(batches)
        self._run = run
        self._step = run.first_step

    def __next__(self):
        if self._step >= self._run.last_step:
            raise StopIteration
        try:
            batch = next(self._parents[0])
        except Exception as error:
            self._run.error = error
            raise
        self._step += 1
        self._run.note(self._step, self._parents[0])
        return batch

    def get_state(self):
        return {"step": self._step, "batches": self._parents[0].get_state()}

    def set_state(self, state):
        self._step = state["step"]
        self._parents[0].set_state(state["batches"])
