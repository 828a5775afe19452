"""What watches a training run: callbacks for `fit`, whose epochs are windows of steps in `train`."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
import sys
from collections.abc import Sequence

import keras

from keras_deeplab.contact_sheet import contact_sheet
from keras_deeplab.data.writers import encode_image, write_file


class StepCounter(keras.callbacks.Callback):
    """Adds `step`, the number of steps trained, to the logs of every epoch, for the callbacks after this one.

    Args:
        first_step: int. Number of steps trained before.

    Example:
    ```python
    model.fit(train, epochs=10, callbacks=[StepCounter(), CsvLog("losses.csv")])
    ```
    """

    # Keras may then go on with the next step before the logs of this one are there.
    async_safe = True

    def __init__(self, first_step: int = 0):
        super().__init__()
        self.step = first_step
        self._in_epoch = 0

    def on_train_batch_end(self, batch, logs=None):
        self._in_epoch = max(self._in_epoch, batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.step += self._in_epoch
        self._in_epoch = 0
        logs["step"] = self.step


class StopAt(keras.callbacks.Callback):
    """Ends a training in the middle of an epoch. With it, every step waits for the one before.

    Running out of data would do as well, but TensorFlow then begins a step that it cannot finish: random
    numbers would go on without it.

    Args:
        last_step: int. The last step to train.
        counter: `StepCounter`, in front of this one in the list.

    Example:
    ```python
    counter = StepCounter()
    model.fit(train, epochs=10, callbacks=[counter, StopAt(123, counter)])
    ```
    """

    def __init__(self, last_step: int, counter: StepCounter):
        super().__init__()
        self.last_step = last_step
        self.counter = counter

    def on_train_batch_end(self, batch, logs=None):
        if self.counter.step + batch + 1 >= self.last_step:
            self.model.stop_training = True


class NanGuard(keras.callbacks.Callback):
    """Stops a training whose loss is NaN or infinite, and names the terms of the loss and the step.

    The logs hold means over the epoch so far: one bad step shows at once. On JAX, where logs arrive while
    later steps run, it may take a few steps, and the end of the epoch at the latest.

    Args:
        counter: `StepCounter`, in front of this one in the list.

    Raises:
        ValueError: out of `fit`.

    Example:
    ```python
    counter = StepCounter()
    model.fit(train, epochs=10, callbacks=[counter, NanGuard(counter)])
    ```
    """

    async_safe = True

    def __init__(self, counter: StepCounter):
        super().__init__()
        self.counter = counter

    def on_train_batch_end(self, batch, logs=None):
        bad = [name for name, value in logs.items() if not math.isfinite(value)]
        if bad:
            # The sum is bad whenever a term is.
            values = ", ".join(f"{name} is {logs[name]}" for name in bad if name != "loss" or len(bad) == 1)
            raise ValueError(
                f"{values} at step {self.counter.step + batch + 1}. Start again in another folder with a "
                "lower learning rate, a longer warm-up, or gradients clipped by `global_clipnorm`."
            )


class CsvLog(keras.callbacks.Callback):
    """Writes the logs of all epochs to a CSV file, one row each. The file is whole at any time.

    Columns that come later, such as those of an evaluation, are empty before.

    Args:
        path: path of the file.
        first_step: int. Rows of a file that is there are kept up to this step, so that a run that goes on
            from a checkpoint writes its file on.

    Raises:
        ValueError: when the file that is there has no column `step`.

    Example:
    ```python
    CsvLog("run/losses.csv")
    ```
    """

    def __init__(self, path: str | os.PathLike, first_step: int = 0):
        super().__init__()
        self.path = pathlib.Path(path)
        self.rows = [row for row in self._read() if int(row["step"]) <= first_step]

    def on_epoch_end(self, epoch, logs=None):
        row = {"step": epoch + 1, **logs}
        self.rows.append({key: value for key, value in row.items() if isinstance(value, (int, float))})
        columns = list(dict.fromkeys(column for row in self.rows for column in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_file(self.path, text.getvalue().encode())

    def _read(self):
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "step" not in (rows.fieldnames or ()):
                raise ValueError(f"{str(self.path)!r} is no log of a training: it has no column 'step'.")
            return list(rows)


class TensorBoardLog(keras.callbacks.Callback):
    """Writes the logs of all epochs for TensorBoard, over the steps, on every backend.

    Args:
        folder: path of the folder that `tensorboard --logdir` is to show.

    Raises:
        ImportError: when TensorBoard is not installed.

    Example:
    ```python
    TensorBoardLog("run/tensorboard")
    ```
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self._open = _tensorboard_writer()

    def on_train_begin(self, logs=None):
        self._writer = self._open(str(self.folder))

    def on_epoch_end(self, epoch, logs=None):
        step = int(logs.get("step", epoch + 1))
        for name, value in logs.items():
            if isinstance(value, (int, float)) and name != "step":
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()


class PictureLog(keras.callbacks.Callback):
    """Saves a picture of what the model makes of some images: image, truth and prediction of each.

    Args:
        reader: sequence of labelled samples, e.g. those of the validation split.
        folder: path. It gets `step_00001000.png` and so on.
        every: int. Number of epochs from one picture to the next.
        count: int. Number of images, from all over the dataset.

    Raises:
        ValueError: when `every` is not a whole number above 0.

    Example:
    ```python
    PictureLog(Cityscapes("/data/cityscapes", split="val"), "run/pictures", every=20)
    ```
    """

    def __init__(self, reader: Sequence[dict], folder: str | os.PathLike, every: int = 1, count: int = 4):
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be a whole number above 0. Received: every={every!r}")
        self.reader = reader
        self.folder = pathlib.Path(folder)
        self.every = every
        self.count = count

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        sheet = contact_sheet(self.reader, self.count, columns=self.count, predict=self._predict)
        step = int((logs or {}).get("step", epoch + 1))
        write_file(self.folder / f"step_{step:08d}.png", encode_image(sheet))

    def _predict(self, sample):
        result = self.model.segment(sample["image"])
        if result.panoptic is not None:
            return result.panoptic
        return result.semantic * self.model.label_space.label_divisor


class ProgressBar(keras.callbacks.Callback):
    """A bar with the loss on a terminal's standard error; silent elsewhere. A context manager.

    Args:
        first_step: int. Number of steps trained before.
        last_step: int. The step that the run ends with.
        visible: bool. Whether to show anything at all.

    Example:
    ```python
    with ProgressBar(0, 60_000) as bar:
        model.fit(train, callbacks=[bar])
    ```
    """

    async_safe = True

    def __init__(self, first_step: int, last_step: int, visible: bool = True):
        from rich.console import Console
        from rich.progress import Progress

        super().__init__()
        is_shown = visible and sys.stderr.isatty()
        self._bar = Progress(console=Console(stderr=True), disable=not is_shown, transient=True)
        self._task = self._bar.add_task("Training", total=last_step, completed=first_step)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update(self._task, advance=1, description=f"Training, loss {logs['loss']:.3f}")


def _tensorboard_writer():
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise ImportError(
            "TensorBoard is not installed: pip install keras-deeplab[tensorboard]. "
            "The log as a CSV file needs nothing."
        ) from error
    return Writer
