import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

import keras_deeplab
from keras_deeplab.cli import COMMANDS, main
from keras_deeplab.data.images import read_image
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.labels import CITYSCAPES
from keras_deeplab.results import Segmentation


class FakeModel:
    """Calls the upper half of every image sky and the lower half car 1."""

    label_space = CITYSCAPES
    presets = ()

    @classmethod
    def from_preset(cls, preset, **overrides):
        if str(preset) == "missing":
            raise ValueError("Preset 'missing' was not found.")
        cls.presets = (*cls.presets, preset)
        return cls()

    def segment(self, image, batch_size=1, progress=True):
        if isinstance(image, np.ndarray) or not hasattr(image, "__next__"):
            return self._segment_one(image)
        return map(self._segment_one, image)

    def _segment_one(self, image):
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        panoptic = np.full(pixels.shape[:2], 10_000, np.int32)
        panoptic[len(panoptic) // 2 :] = 13_001
        return Segmentation(panoptic, CITYSCAPES, image=pixels)


@pytest.fixture(autouse=True)
def fake_model(monkeypatch, tmp_path):
    """Commands work in an empty folder with the fake model."""
    monkeypatch.setitem(vars(keras_deeplab), "Segmenter", FakeModel)
    monkeypatch.setattr(FakeModel, "presets", ())
    monkeypatch.chdir(tmp_path)


def write_image(path, height=24, width=32):
    assert cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    return str(path)


def run_process(*words):
    command = [
        sys.executable,
        "-c",
        "import sys; from keras_deeplab.cli import main; sys.exit(main())",
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})


def all_commands(modules=COMMANDS, words=()):
    """The words of every command, those of groups included."""
    for name, module in modules.items():
        if hasattr(module, "COMMANDS"):
            yield from all_commands(module.COMMANDS, (*words, name))
        else:
            yield (*words, name)


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_help_names_what_a_command_does_and_gives_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"  keras-deeplab {' '.join(command)}" in printed.partition("examples:")[2]


def test_help_of_a_group_lists_its_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["data", "--help"])
    assert stopped.value.code == 0
    assert "\n    inspect " in capsys.readouterr().out


def test_help_lists_the_commands():
    process = run_process("--help")
    assert process.returncode == 0
    assert all(f"\n    {command} " in process.stdout for command in COMMANDS)
    assert process.stderr == ""


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"keras-deeplab {keras_deeplab.__version__}\n"


TRAIN = ("train", "--data", "synthetic", "--output", "trial")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "required: COMMAND"),
        (("segmnet",), "invalid choice: 'segmnet'"),
        (("segment",), "required: IMAGE|FOLDER"),
        (("train", "--output", "trial"), "required: --data"),
        ((*TRAIN, "--image-size", "257"), "'257' is not HEIGHTxWIDTH"),
        ((*TRAIN, "--image-size", "0x513"), "'0x513' is not HEIGHTxWIDTH"),
        ((*TRAIN, "--steps", "0"), "'0' is not a whole number above 0"),
        ((*TRAIN, "--batch-size", "2.5"), "'2.5' is not a whole number above 0"),
        ((*TRAIN, "--learning-rate", "-1"), "'-1' is not a number above 0"),
        ((*TRAIN, "--learning-rate", "nan"), "'nan' is not a number above 0"),
        ((*TRAIN, "--set", "steps"), "'steps' is not FIELD=VALUE, e.g. learning_rate=1e-4"),
        ((*TRAIN, "--set", "=3"), "'=3' is not FIELD=VALUE"),
        ((*TRAIN, "--preset", "p", "--variant", "v"), "--variant: not allowed with argument --preset"),
        ((*TRAIN, "--seed", "-1"), "'-1' is not a whole number"),
        ((*TRAIN, "--output-stride", "12"), "invalid choice: 12"),
        ((*TRAIN, "--checkpoint-minutes", "0"), "'0' is not a number above 0"),
        ((*TRAIN, "--validate-every", "0"), "'0' is not a whole number above 0"),
        ((*TRAIN, "--log-pictures", "x"), "'x' is not a whole number above 0"),
        (("evaluate", "--preset", "p", "--data", "d", "--split", "dev"), "invalid choice: 'dev'"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(words, complaint, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_wrong_usage_is_the_exit_code_of_the_process():
    process = run_process("segment")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


def test_a_mistake_is_one_line_without_traceback():
    process = run_process("segment", "nowhere.jpg")
    assert process.returncode == 1
    assert process.stderr == "error: There is no image or folder 'nowhere.jpg'.\n"
    assert process.stdout == ""


def test_debug_shows_the_traceback():
    process = run_process("segment", "nowhere.jpg", "--debug")
    assert process.returncode == 1
    assert "Traceback" in process.stderr


def test_segment_writes_a_picture_and_the_segments(tmp_path, capsys):
    assert main(["segment", write_image(tmp_path / "street.jpg"), "--preset", "p"]) == 0
    assert read_image("outputs/street_panoptic.png").shape[0] == 24
    written = json.loads((tmp_path / "outputs" / "street.json").read_text())
    assert (written["name"], written["height"], written["width"]) == ("street", 24, 32)
    assert sorted((s["class"], s["area"]) for s in written["segments"]) == [("car", 384), ("sky", 384)]
    assert capsys.readouterr().out == "outputs/street_panoptic.png: sky, car\n"
    assert FakeModel.presets == ("p",)


def test_segment_prints_json_and_nothing_else(tmp_path, capsys):
    assert main(["segment", write_image(tmp_path / "a.png"), "--preset", "p", "--output", "o", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["failed"] == []
    (result,) = printed["results"]
    assert result["picture"] == "o/a_panoptic.png"
    assert {s["class"] for s in result["segments"]} == {"sky", "car"}


def test_one_bad_image_of_a_folder_does_not_lose_the_others(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "c.png"):
        write_image(tmp_path / "photos" / name)
    (tmp_path / "photos" / "b.png").write_bytes(b"no image")
    assert main(["segment", "photos", "--preset", "p", "--json"]) == 1
    printed, complaints = capsys.readouterr()
    assert [r["name"] for r in json.loads(printed)["results"]] == ["a", "c"]
    assert [f["name"] for f in json.loads(printed)["failed"]] == ["b"]
    assert "b.png" in complaints
    assert "1 of 3 images failed." in complaints
    assert sorted(p.name for p in (tmp_path / "outputs").iterdir()) == [
        *("a.json", "a_panoptic.png", "c.json", "c_panoptic.png")
    ]


def test_images_that_differ_in_their_extension_keep_apart(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "a.jpg"):
        write_image(tmp_path / "photos" / name)
    assert main(["segment", "photos", "--preset", "p"]) == 0
    assert sorted(p.name for p in (tmp_path / "outputs").glob("*.json")) == ["a.jpg.json", "a.png.json"]


def test_a_folder_without_images_is_a_mistake(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert main(["segment", "photos", "--preset", "p"]) == 1
    assert "photos holds no image" in capsys.readouterr().err


def test_a_missing_preset_is_a_mistake(tmp_path, capsys):
    assert main(["segment", write_image(tmp_path / "a.png"), "--preset", "missing"]) == 1
    assert capsys.readouterr().err == "error: Preset 'missing' was not found.\n"


def test_photographs_have_a_preset_of_their_own(tmp_path):
    assert main(["segment", write_image(tmp_path / "a.png")]) == 0
    assert FakeModel.presets == ("street_camvid",)


def test_demo_segments_the_rendered_street(tmp_path):
    assert main(["demo", "--output", "shown"]) == 0
    assert sorted(p.name for p in (tmp_path / "shown").iterdir()) == [
        *("demo_street.json", "demo_street_panoptic.png")
    ]
    assert FakeModel.presets == ("street_synthetic",)


def test_demo_takes_a_photograph_as_well(tmp_path):
    assert main(["demo", "--image", write_image(tmp_path / "mine.jpg")]) == 0
    for name in ("demo_street", "mine"):
        assert (tmp_path / "outputs" / f"{name}_panoptic.png").is_file()
    assert FakeModel.presets == ("street_synthetic", "street_camvid")


def test_demo_keeps_the_street_beside_an_image_of_its_name(tmp_path):
    assert main(["demo", "--image", write_image(tmp_path / "demo_street.jpg"), "--output", "shown"]) == 0
    assert sorted(path.name for path in pathlib.Path("shown").glob("*.png")) == [
        "demo_street.jpg_panoptic.png",
        "demo_street_panoptic.png",
    ]


def test_demo_of_a_missing_image_is_a_mistake(tmp_path, capsys):
    assert main(["demo", "--image", "nowhere.jpg"]) == 1
    assert "nowhere.jpg" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_demo_of_a_broken_image_fails_after_the_street(tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert main(["demo", "--image", "broken.jpg", "--preset", "p"]) == 1
    assert "broken.jpg" in capsys.readouterr().err
    assert (tmp_path / "outputs" / "demo_street_panoptic.png").is_file()
    assert FakeModel.presets == ("p", "p")


@pytest.fixture
def few_scenes(monkeypatch):
    from keras_deeplab.cli import arguments, evaluate

    scenes = StreetScenes(2, (64, 128))
    monkeypatch.setattr(arguments, "open_dataset", lambda root, split, images=True: scenes)
    monkeypatch.setattr(evaluate, "open_dataset", lambda root, split, images=True: scenes)
    return scenes


EVALUATE = ("evaluate", "--preset", "p", "--data", "synthetic")


def test_evaluate_prints_what_evaluate_returns_as_json(few_scenes, capsys):
    assert main([*EVALUATE, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = keras_deeplab.evaluate(FakeModel(), few_scenes, progress=False)
    assert printed["images"] == 2
    assert printed["miou"] == expected["miou"]
    assert printed["pq"] == expected["pq"]


@pytest.mark.usefixtures("few_scenes")
def test_evaluate_prints_a_table_for_people(capsys):
    assert main(EVALUATE) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("road" in line for line in lines)
    assert any("all" in line for line in lines)


@pytest.mark.usefixtures("few_scenes")
def test_evaluate_saves_predictions(tmp_path):
    assert main([*EVALUATE, "--save", "predictions", "--json"]) == 0
    assert any((tmp_path / "predictions").rglob("*.png"))


@pytest.mark.usefixtures("few_scenes")
def test_evaluate_writes_json_and_a_report(tmp_path, capsys):
    assert main([*EVALUATE, "--output", "found", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads((tmp_path / "found" / "results.json").read_text()) == json.loads(output.out)
    assert str(pathlib.Path("found", "report.html")) in output.err
    report = (tmp_path / "found" / "report.html").read_text()
    assert report.count("data:image/jpeg") == 8  # two images, each with truth, prediction and errors
    assert "traffic sign" in report
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["report.html", "results.json"]


def test_evaluate_goes_on_when_asked_to(few_scenes, tmp_path, monkeypatch, capsys):
    class Tired(FakeModel):
        segmented = 0

        def _segment_one(self, image):
            Tired.segmented += 1
            if Tired.segmented == 2:
                raise KeyboardInterrupt
            return super()._segment_one(image)

    monkeypatch.setitem(vars(keras_deeplab), "Segmenter", Tired)
    assert main([*EVALUATE, "--metrics", "miou"]) == 1
    assert (tmp_path / "outputs" / "evaluation.sqlite").exists()
    assert main([*EVALUATE, "--metrics", "miou", "--resume"]) == 0
    assert Tired.segmented == 3 + 2  # the second image again, and both for the report
    results = json.loads((tmp_path / "outputs" / "results.json").read_text())
    assert results["miou"] == keras_deeplab.evaluate(FakeModel(), few_scenes)["miou"]
    capsys.readouterr()


def test_evaluate_takes_predictions(few_scenes, tmp_path, capsys):
    assert main([*EVALUATE, "--save", "mine", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    judged = ("--predictions", "mine", "--output", "again")
    assert main(["evaluate", *judged, "--data", "synthetic", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == "mine"
    for name in ("pq", "miou", "per_class", "per_image"):
        assert result[name] == expected[name]
    assert (tmp_path / "again" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--predictions", "nowhere"), "no predictions 'nowhere'"),
        (("--predictions", "mine", "--flip"), "for presets, not for --predictions"),
    ],
)
def test_evaluate_of_unusable_predictions_is_a_mistake(few_scenes, words, message, capsys):
    assert main(["evaluate", *words, "--data", "synthetic"]) == 1
    assert message in capsys.readouterr().err


def test_evaluate_of_a_missing_dataset_is_a_mistake(capsys):
    assert main(["evaluate", "--preset", "p", "--data", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err
