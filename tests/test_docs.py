"""The documentation's code, links and pictures."""

import inspect
import os
import pathlib
import re
import shlex

import numpy as np
import pytest

from keras_deeplab import data, metrics
from keras_deeplab.cli import _parser
from keras_deeplab.data.images import read_image
from keras_deeplab.data.prediction_writers.layouts import PREDICTION_LAYOUTS
from keras_deeplab.data.synthetic import demo_street
from keras_deeplab.evaluation.tally import MEASURES
from keras_deeplab.labels import LABEL_SPACES
from keras_deeplab.training.recipes import Recipe
from tests.small_datasets import write_harbour
from tests.small_networks import uncompiled

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_compiles(page):
    for block in code_blocks(page):
        compile(block, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_guide_to_label_spaces_runs_as_written():
    names = {}
    for block in code_blocks(ROOT / "docs" / "label_spaces_and_maps.md"):
        exec(block, names)
    np.testing.assert_array_equal(names["classes"], [[10, 13], [0, 13]])
    np.testing.assert_array_equal(names["instances"], [[0, 1], [0, 2]])
    assert names["space"].void == 255_000


def test_the_guide_to_submissions_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in code_blocks(ROOT / "docs" / "submissions.md"):
        exec(block, names)
    assert names["again"].names == ["0002/000000", "0002/000001"]
    written = {
        "predictions/panoptic": 3,
        "predictions/instance/masks": 3,
        "dvps/panoptic": 2,
        "dvps/depth": 2,
    }
    assert {folder: len(os.listdir(folder)) for folder in written} == written


def test_the_guide_to_evaluation_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in code_blocks(ROOT / "docs" / "evaluation.md"):
        exec(block, names)
    assert names["results"]["images"] == len(names["scenes"]) == 4
    assert names["metric"].label_space.name == "cityscapes"
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation.sqlite", "predictions", "report.html"}


@pytest.fixture(name="uncompiled")
def run_uncompiled():
    with uncompiled():
        yield


def test_the_guide_to_fine_tuning_runs_as_written(tmp_path, monkeypatch, uncompiled):
    write_harbour(tmp_path)
    monkeypatch.chdir(tmp_path)
    page = "\n".join(code_blocks(ROOT / "docs" / "fine_tuning.md"))
    # The same training, only shorter.
    for long, short in {
        "steps=2_000": "steps=10, warmup_steps=0, batch_size=1",
        "epochs=10": "epochs=1",
    }.items():
        assert page.count(long) == 2
        page = page.replace(long, short)
    names = {}
    with pytest.warns(UserWarning, match="start fresh"):
        exec(page, names)
    assert names["boats"].label_space.classes == names["harbour"].classes
    assert names["model"].label_space == names["boats"].label_space
    assert int(names["model"].optimizer.iterations) == 0
    assert names["recipe"].num_batches == 240_000
    assert (tmp_path / "0000_panoptic.png").is_file()


def test_the_guide_to_training_runs_as_written(tmp_path, monkeypatch, uncompiled):
    monkeypatch.chdir(tmp_path)
    for block in code_blocks(ROOT / "docs" / "training.md"):
        exec(block, {})
    assert {path.name for path in tmp_path.iterdir()} == {"run", "my_preset"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"losses.csv", "checkpoints", "pictures"}


@pytest.mark.parametrize("name", ["README.md", "docs/training.md"])
def test_commands_that_train_are_understood(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    commands = re.findall(r"^keras-deeplab (train [^#\n]*)", page, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        options = _parser().parse_args(shlex.split(command))
        assert Recipe.load(options.recipe, **dict(options.changes))


def test_the_table_of_metrics_is_that_of_the_code():
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| `"(\w+)"` \| .* \| `(\w+)` \|$', page, re.MULTILINE)
    assert {name for name, _ in rows} == set(MEASURES)
    assert {kind for _, kind in rows} == set(metrics.__all__)


def test_the_guide_to_submissions_has_all_layouts():
    page = (ROOT / "docs" / "submissions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.*)\]\(#\w+\) \|", page, re.MULTILINE)
    assert re.findall(r'"(\w+)"', ", ".join(rows)) == list(PREDICTION_LAYOUTS)


def test_the_table_of_label_spaces_is_that_of_the_code():
    page = (ROOT / "docs" / "label_spaces_and_maps.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| .* \| (\d+) \| (\d+) \| .*\|$", page, re.MULTILINE)
    assert rows == [
        (name, *map(str, (space.num_classes, space.ignore_label, space.label_divisor)))
        for name, space in LABEL_SPACES.items()
    ]


def test_the_table_of_datasets_names_readers_and_their_label_spaces():
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.*\]\((#.*)\) \| `(\w+)` \| `?([\w ]+)`? \|", page, re.MULTILINE)
    assert len(rows) == 11
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^## (.*)$", page, re.M)
    }
    for link, reader, space in rows:
        assert link.removeprefix("#") in headings
        default = inspect.signature(getattr(data, reader)).parameters["label_space"].default
        # That of COCO comes from its JSON.
        assert default in {LABEL_SPACES.get(space), None, inspect.Parameter.empty}
    assert set(LABEL_SPACES) == {space for _, _, space in rows} & set(LABEL_SPACES)


def test_the_demo_picture_is_the_scene_that_the_code_renders():
    picture, scene = read_image(ROOT / "docs" / "images" / "demo_street.png"), demo_street()["image"]
    # Processors round differently: single grey levels may differ.
    assert np.abs(picture.astype(int) - scene).mean() < 0.1
