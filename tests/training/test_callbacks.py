import csv
import sys
import types

import keras
import numpy as np
import pytest

from keras_deeplab.data.images import read_image
from keras_deeplab.results import Segmentation
from keras_deeplab.training import CsvLog, NanGuard, PictureLog, StepCounter, TensorBoardLog
from keras_deeplab.training.callbacks import ProgressBar, StopAt
from tests.training.tiny_runs import SPACE, balls

NAN, INFINITE = float("nan"), float("inf")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_steps_are_counted_over_epochs_of_any_length():
    counter = StepCounter(first_step=10)
    for length, expected in ((3, 13), (1, 14)):
        for batch in range(length):
            counter.on_train_batch_end(batch)
        logs = {}
        counter.on_epoch_end(0, logs)
        assert logs == {"step": expected}


@pytest.mark.parametrize(
    ("logs", "complaint"),
    [
        ({"loss": NAN, "center_loss": NAN, "semantic_loss": 1.0}, "^center_loss is nan at step 13"),
        ({"loss": INFINITE, "a": INFINITE, "b": NAN}, "^a is inf, b is nan at step 13"),
        ({"loss": NAN, "a": 1.0}, "^loss is nan at step 13"),
    ],
)
def test_terms_that_are_not_finite_are_named(logs, complaint):
    guard = NanGuard(StepCounter(first_step=10))
    guard.on_train_batch_end(1, {"loss": 1.0, "a": 2.0})
    with pytest.raises(ValueError, match=complaint) as error:
        guard.on_train_batch_end(2, logs)
    assert "global_clipnorm" in str(error.value)


def test_the_guard_ends_fit():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", loss="mse")
    images = np.ones((4, 2), "float32")
    images[2] = np.nan
    counter = StepCounter()
    with pytest.raises(ValueError, match="loss is nan at step 3"):
        model.fit(images, np.ones(4), 1, shuffle=False, verbose=0, callbacks=[counter, NanGuard(counter)])


def test_a_training_ends_in_the_middle_of_an_epoch():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    counter = StepCounter(first_step=7)
    ones = np.ones((8, 2), "float32")
    history = model.fit(ones, ones[:, :1], 2, 3, verbose=0, callbacks=[counter, StopAt(13, counter)])
    assert history.history["step"] == [11, 13]
    assert int(model.optimizer.iterations) == 6


def test_logs_become_rows(tmp_path):
    log = CsvLog(tmp_path / "run" / "losses.csv")
    log.on_epoch_end(0, {"loss": 0.1 + 0.2, "step": 50})
    log.on_epoch_end(1, {"loss": 1.0, "step": 100, "val_pq": 0.5, "val_per_class": {}})
    rows = rows_of(tmp_path / "run" / "losses.csv")
    assert rows[0] == {"step": "50", "loss": str(0.1 + 0.2), "val_pq": ""}
    assert rows[1] == {"step": "100", "loss": "1.0", "val_pq": "0.5"}


def test_a_log_goes_on_from_a_step(tmp_path):
    log = CsvLog(tmp_path / "losses.csv")
    for step in (50, 100, 150):
        log.on_epoch_end(0, {"loss": 1.0, "step": step})
    log = CsvLog(tmp_path / "losses.csv", first_step=100)
    log.on_epoch_end(0, {"loss": 2.0, "step": 150})
    assert [(row["step"], row["loss"]) for row in rows_of(tmp_path / "losses.csv")] == [
        *(("50", "1.0"), ("100", "1.0"), ("150", "2.0"))
    ]


def test_another_file_is_not_overwritten(tmp_path):
    (tmp_path / "losses.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column 'step'"):
        CsvLog(tmp_path / "losses.csv")


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(ImportError, match=r"pip install keras-deeplab\[tensorboard\]"):
        TensorBoardLog(tmp_path)


def test_tensorboard_gets_numbers_over_steps(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            written.append("flushed")

        def close(self):
            written.append("closed")

    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "tensorboard.summary", types.SimpleNamespace(Writer=Writer))
    log = TensorBoardLog(tmp_path)
    log.on_train_begin()
    log.on_epoch_end(0, {"loss": 0.5, "step": 50, "val_per_class": {}})
    log.on_train_end()
    assert written == [str(tmp_path), ("loss", 0.5, 50), "flushed", "closed"]


class Painter:
    """A model that calls everything a ball."""

    label_space = SPACE

    def __init__(self, panoptic=True):
        self.panoptic = panoptic

    def segment(self, image):
        panoptic = np.full(image.shape[:2], 101, np.int32)
        return Segmentation(*((panoptic, SPACE) if self.panoptic else (None, SPACE, panoptic // 100)))


@pytest.mark.parametrize("panoptic", [True, False])
def test_pictures_show_image_truth_and_prediction(tmp_path, panoptic):
    log = PictureLog(balls(), tmp_path / "pictures", every=2, count=2)
    log.set_model(Painter(panoptic))
    for epoch in range(4):
        log.on_epoch_end(epoch, {"step": 50 * (epoch + 1)})
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        *("step_00000100.png", "step_00000200.png")
    ]
    height = round(320 * 40 / 70)
    picture = read_image(tmp_path / "pictures" / "step_00000100.png")
    assert picture.shape == (18 + 3 * height + 12, 2 * 326 + 6, 3)
    ball = np.array(SPACE.colors[1])
    _, truth, prediction = (picture[24 + i * height + 5 : 24 + (i + 1) * height - 5, 10:50] for i in range(3))
    distance = [np.abs(part.mean((0, 1)) - ball).mean() for part in (truth, prediction)]
    assert distance[1] < 60 < distance[0]


def test_every_must_be_a_count(tmp_path):
    with pytest.raises(ValueError, match="every=0"):
        PictureLog(balls(), tmp_path, every=0)


def test_the_bar_is_silent_without_a_terminal(capsys):
    with ProgressBar(0, 3) as bar:
        bar.on_train_batch_end(0, {"loss": 1.0})
    assert capsys.readouterr() == ("", "")
