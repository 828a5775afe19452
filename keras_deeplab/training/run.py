"""Long training runs that can stop at any moment."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.labels import check_same_classes
from keras_deeplab.training.batches import RunBatches
from keras_deeplab.training.callbacks import CsvLog, NanGuard, ProgressBar, StepCounter, StopAt
from keras_deeplab.training.checkpoints import Checkpoints, CheckpointWriter
from keras_deeplab.training.settings import describe_run
from keras_deeplab.training.summary import training_summary

LOSS_FILE = "losses.csv"
CHECKPOINT_FOLDER = "checkpoints"


def train(
    model: keras.Model,
    pipeline: Pipeline,
    steps: int,
    folder: str | os.PathLike,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_minutes: float = 10,
    keep_checkpoints: int = 2,
    log_every: int = 50,
    resume: bool = True,
    verbose: bool = True,
) -> keras.callbacks.History:
    """Trains a model for a number of steps, and goes on where it stopped when it is called again.

    The folder gets `losses.csv` and `checkpoints/`. A run that was killed, at any moment, and is started
    again with the same model, pipeline and settings ends with the weights of an unbroken run: bit by bit
    where the backend computes the same twice, as all three do on a processor.

    What makes that exact: the run is one call of `fit`, whose epochs are windows of `log_every` steps, and
    checkpoints are written between two windows alone. There the means of the losses start anew and every
    backend has its state in the variables, JAX's too, so that a checkpoint is all there is; the data go on
    from the step (`Pipeline.dataset_from`), or from the place of Grain's iterator where broken samples are
    left out. Learning-rate schedules go by the optimizer's own step, which
    is one of its variables. Not kept is the state of callbacks of yours.

    A loss that is not finite stops the run. So does a file that cannot be written. Earlier checkpoints stay.

    Args:
        model: compiled model.
        pipeline: `data.Pipeline`, in training.
        steps: int. Length of the whole run. A finished run goes on when there are more of them.
        folder: path of the run.
        callbacks: Keras callbacks such as `PanopticEvaluation` and `PictureLog`. Their epochs are windows of
            `log_every` steps. They see the average of the weights where the optimizer keeps one, and what
            they add to the logs comes into `losses.csv`.
        checkpoint_minutes: float. Time from one checkpoint to the next, rounded up to whole windows.
        keep_checkpoints: int. How many checkpoints to keep.
        log_every: int. Number of steps in a window.
        resume: bool. Whether to go on from checkpoints in the folder. Otherwise there must not be any.
        verbose: bool. Whether to print a summary, and to show progress on a terminal.

    Returns:
        Keras `History` of the windows that this call trained.

    Raises:
        ValueError: for classes in the data that the model lacks, a batch larger than the data, a folder with
            the checkpoints of another run (the message says what differs), a sample that cannot be used, or
            a loss that is not finite.
        OSError: when a file cannot be written; the message names the checkpoint to go on from.

    Example:
    ```python
    pipeline = Pipeline(Cityscapes("/data/cityscapes"), image_size=(513, 1025), batch_size=8)
    kd.train(model, pipeline, steps=60_000, folder="run")
    ```
    """
    _check(model, pipeline, steps, log_every)
    folder = pathlib.Path(folder)
    checkpoints = Checkpoints(folder / CHECKPOINT_FOLDER, keep_checkpoints)
    if checkpoints.steps and not resume:
        raise ValueError(
            f"{str(folder)!r} holds the checkpoints of a run. Choose another folder, or resume it."
        )
    settings = describe_run(model, pipeline)
    start = checkpoints.load(model, settings) or {"step": 0, "position": None, "random_state": None}
    first_step = start["step"]
    if verbose:
        print(training_summary(model, pipeline, steps))
        print(f"{'from step':<12}{first_step:,}\n", flush=True)
    if first_step >= steps:
        # As `fit` does at its end: the weights become their average where there is one.
        model.optimizer.finalize_variable_values(model.trainable_weights)
        return keras.callbacks.History()
    batches = RunBatches(pipeline, first_step, steps, log_every, start["position"])
    counter = StepCounter(first_step)
    write = CheckpointWriter(
        checkpoints, checkpoint_minutes, steps, settings, batches.find_position, start["random_state"]
    )
    watch = [counter, NanGuard(counter), *_with_average_weights(model, callbacks)]
    watch += [CsvLog(folder / LOSS_FILE, first_step), write]
    windows, rest = divmod(steps - first_step, log_every)
    if rest:
        windows += 1
        watch.append(StopAt(steps, counter))
    first_window = math.ceil(first_step / log_every)
    with ProgressBar(first_step, steps, verbose) as bar, _explained_errors(folder, batches, checkpoints):
        return model.fit(
            batches,
            initial_epoch=first_window,
            epochs=first_window + windows,
            steps_per_epoch=log_every,
            shuffle=False,
            callbacks=[*watch, bar],
            verbose=0,
        )


@contextlib.contextmanager
def _explained_errors(folder, batches, checkpoints):
    """Errors of the data as they were raised, and of files with what the run can go on from."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}{f': {error.filename!r}' if error.filename else ''}"
        raise OSError(
            error.errno,
            f"The run in {str(folder)!r} stopped. {reason}. {checkpoints.newest_in_words()} Free some space, "
            "or mend what else is wrong, then start the run again to go on.",
        ) from error
    except Exception as error:
        # TensorFlow raises errors of its own instead, which quote a traceback.
        if batches.error is None or batches.error is error:
            raise
        raise batches.error from error


def _check(model, pipeline, steps, log_every):
    for name, value in (("steps", steps), ("log_every", log_every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a whole number above 0. Received: {name}={value!r}")
    if not pipeline.training:
        raise ValueError("`pipeline` must be one for training. Received: training=False")
    if pipeline.batch_size > pipeline.num_samples:
        raise ValueError(
            f"A batch of {pipeline.batch_size} is larger than the data, {pipeline.num_samples} images. "
            "Use a smaller batch size."
        )
    if getattr(model, "label_space", None) is not None:
        check_same_classes(model.label_space, pipeline.label_space)


def _with_average_weights(model, callbacks):
    """The callbacks, at whose ends of epochs the weights are their moving average where there is one."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not callbacks or not getattr(optimizer, "use_ema", False):
        return list(callbacks)

    # Keras' SwapEMAWeights rounds on TensorFlow: looking at the weights would change them.
    def swap(epoch, logs):
        pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
        for variable, average in pairs:
            weights = np.array(keras.ops.convert_to_numpy(variable))
            variable.assign(keras.ops.convert_to_numpy(average))
            average.assign(weights)

    swapping = [keras.callbacks.LambdaCallback(on_epoch_end=swap) for _ in range(2)]
    return [swapping[0], *callbacks, swapping[1]]
