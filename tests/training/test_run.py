"""Runs as wholes: that they go on where they were killed, and what stops them."""

import errno
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_deeplab import LabelSpace
from keras_deeplab.data import ArrayReader, Pipeline
from keras_deeplab.training import train
from tests.small_disk import no_space
from tests.training import tiny_runs
from tests.training.tiny_runs import linear_pipeline, make_linear, make_network, make_pipeline, weights_of

ROOT = pathlib.Path(__file__).parents[2]
# JAX compiles for minutes otherwise: the second process takes what the first one compiled.
CACHE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A run that nobody disturbs: its folder, model and history."""
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, *tiny_runs.run(folder, seed=0)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed(folder, place, cache):
    process = subprocess.run(
        [sys.executable, "-m", "tests.training.tiny_runs", str(folder), place],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": keras.backend.backend(),
            **CACHE,
            "JAX_COMPILATION_CACHE_DIR": str(cache),
        },
        capture_output=True,
        text=True,
    )
    return process.returncode == -signal.SIGKILL, process.stderr


def test_a_run_leaves_its_losses_and_last_checkpoints(unbroken):
    folder, _, history = unbroken
    assert history["step"] == [3, 6, 8]
    assert names(folder) == ["checkpoints", "losses.csv"]
    assert names(folder / "checkpoints") == ["step_00000006.npz", "step_00000008.npz"]
    rows = (folder / "losses.csv").read_text().splitlines()
    assert rows[0].split(",") == ["step", "loss", "semantic_loss"]
    assert [float(row.split(",")[1]) for row in rows[1:]] == history["loss"]


def test_a_run_that_is_killed_ends_like_an_unbroken_one(unbroken, tmp_path, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    was_killed, errors = killed(tmp_path, "in a window", cache)
    assert was_killed, errors
    assert names(tmp_path / "checkpoints") == ["step_00000003.npz"]
    was_killed, errors = killed(tmp_path, "while writing", cache)
    assert was_killed, errors
    assert names(tmp_path / "checkpoints")[0].startswith(".step_00000006.npz.")
    folder, expected, _ = unbroken
    # Another seed: all that is random comes out of the checkpoint.
    model, history = tiny_runs.run(tmp_path, seed=1)
    assert history["step"] == [6, 8]
    assert names(tmp_path / "checkpoints") == ["step_00000006.npz", "step_00000008.npz"]
    for found, value in zip(weights_of(model), weights_of(expected), strict=True):
        np.testing.assert_array_equal(found, value)
    assert (tmp_path / "losses.csv").read_text() == (folder / "losses.csv").read_text()


def test_a_finished_run_gives_its_weights_again(unbroken):
    folder, expected, _ = unbroken
    model, history = tiny_runs.run(folder, seed=1)
    assert history == {}
    for found, value in zip(weights_of(model), weights_of(expected), strict=True):
        np.testing.assert_array_equal(found, value)


def test_checkpoints_are_not_used_when_they_are_not_wanted(unbroken):
    with pytest.raises(ValueError, match="holds the checkpoints of a run"):
        tiny_runs.run(unbroken[0], seed=0, resume=False)


def other_rate(model):
    model.compile(keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2))
    return model


@pytest.mark.parametrize(
    ("make_model", "make_data", "difference"),
    [
        (
            lambda: make_network(0, width_multiplier=1 / 8),
            make_pipeline,
            "width_multiplier was 0.0625 and is",
        ),
        (lambda: make_network(0), lambda: make_pipeline(batch_size=3), "data.batch_size was 2 and is 3"),
        (lambda: make_network(0), lambda: make_pipeline(flip=False), "transform.flip was True and is False"),
        (
            lambda: other_rate(make_network(0)),
            make_pipeline,
            "optimizer.learning_rate was {.* and is 0.019999",
        ),
    ],
)
def test_the_folder_of_another_run_is_refused(unbroken, make_model, make_data, difference):
    folder = unbroken[0]
    before = (folder / "checkpoints" / "step_00000008.npz").read_bytes()
    with pytest.raises(ValueError, match=difference) as error:
        train(make_model(), make_data(), 20, folder, verbose=False)
    assert "Use the settings from before, or another folder" in str(error.value)
    assert (folder / "checkpoints" / "step_00000008.npz").read_bytes() == before


def run_linear(folder, steps, model=None, **options):
    model = model or make_linear()
    options = {"log_every": 2, "checkpoint_minutes": 0, "keep_checkpoints": 9, "verbose": False, **options}
    train(model, linear_pipeline(), steps, folder, **options)
    return weights_of(model)


def test_a_finished_run_goes_on_for_more_steps(tmp_path):
    run_linear(tmp_path / "one", 3)
    found = run_linear(tmp_path / "one", 6)
    for value, expected in zip(found, run_linear(tmp_path / "other", 6), strict=True):
        np.testing.assert_array_equal(value, expected)
    rows = (tmp_path / "one" / "losses.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "3", "5", "6"]


def test_callbacks_see_the_average_of_the_weights(tmp_path):
    seen = []
    see = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(weights_of(model)))

    def optimizer():
        return keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.9)

    model = make_linear(optimizer())
    final = run_linear(tmp_path / "seen", 4, model, callbacks=[see])
    unseen = run_linear(tmp_path / "unseen", 4, make_linear(optimizer()))
    for at_the_end, value, expected in zip(seen[-1], final, unseen, strict=True):
        np.testing.assert_array_equal(at_the_end, value)
        np.testing.assert_array_equal(value, expected)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    model = make_linear()
    run_linear(tmp_path, 2)
    break_it = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: model.get_layer("logits").bias.assign([np.nan, 0])
    )
    with pytest.raises(ValueError, match=r"loss is nan at step [34]\. .*lower learning rate"):
        run_linear(tmp_path, 8, model, callbacks=[break_it])
    assert names(tmp_path / "checkpoints") == ["step_00000002.npz"]


def test_a_full_disk_stops_the_run_and_leaves_what_there_was(tmp_path, monkeypatch):
    run_linear(tmp_path, 2)
    before = (tmp_path / "checkpoints" / "step_00000002.npz").read_bytes()

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    message = (
        r"stopped\. Cannot write '.*step_00000004\.npz': No space left .*step_00000002\.npz'\. Free some"
    )
    with pytest.raises(OSError, match=message):
        run_linear(tmp_path, 6)
    assert names(tmp_path / "checkpoints") == ["step_00000002.npz"]
    assert (tmp_path / "checkpoints" / "step_00000002.npz").read_bytes() == before
    monkeypatch.undo()
    expected = run_linear(tmp_path / "other", 6)
    for value, other in zip(run_linear(tmp_path, 6), expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_a_log_that_cannot_be_written_stops_the_run_and_leaves_what_there_was(tmp_path):
    run_linear(tmp_path, 2)
    before = (tmp_path / "losses.csv").read_bytes()
    message = r"stopped\. Cannot write '.*losses\.csv': File too large\. .*step_00000002\.npz'\. Free some"
    with no_space(len(before)), pytest.raises(OSError, match=message):
        run_linear(tmp_path, 4)
    assert (tmp_path / "losses.csv").read_bytes() == before
    run_linear(tmp_path, 4)
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 3


def test_checkpoints_come_by_the_clock(tmp_path):
    run_linear(tmp_path, 6, checkpoint_minutes=5)
    assert names(tmp_path / "checkpoints") == ["step_00000006.npz"]


def test_a_summary_is_printed(tmp_path, capsys):
    run_linear(tmp_path, 2, verbose=True)
    printed = capsys.readouterr().out
    assert "26 (26 trained)" in printed
    assert "5 images per epoch, 3 batches of 2" in printed
    assert "from step   0" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 6}, "A batch of 6 is larger than the data, 5 images"),
        ({"training": False}, "`pipeline` must be one for training"),
        (
            {"label_space": LabelSpace("more", classes=("ground", "ball", "sky"), label_divisor=100)},
            "labels 'tiny', the data 'more'; the model lacks 'sky'",
        ),
        (
            {"label_space": LabelSpace("still", classes=("ground", "ball"), label_divisor=100)},
            "labels 'tiny', the data 'still'; things differ. Build the model with `label_space=`",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(make_network(0), make_pipeline(**options), 4, tmp_path, verbose=False)
    assert names(tmp_path) == []


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 4, "log_every": 0}])
def test_counts_must_be_counts(tmp_path, options):
    with pytest.raises(ValueError, match="must be a whole number above 0"):
        train(make_linear(), linear_pipeline(), folder=tmp_path, **options)


@pytest.mark.parametrize("bad", [range(5), [2]])
def test_a_label_of_an_unknown_class_is_named_in_the_first_batch_and_later(tmp_path, bad):
    """TensorFlow would quote a traceback for what comes after the first batch."""
    balls = tiny_runs.balls()
    for index in bad:
        balls.panoptic_maps[index] += 700
    reader = ArrayReader(balls.images, balls.panoptic_maps, tiny_runs.SPACE, list("abcde"))
    data = Pipeline(reader, image_size=(33, 65), batch_size=1, targets=tiny_runs.semantic_only, seed=3)
    message = "^Sample '[a-e]': `panoptic` holds the class 7, 8, but the label space 'tiny' has the classes"
    with pytest.raises(ValueError, match=message):
        train(make_linear(), data, 8, tmp_path, log_every=2, verbose=False)
