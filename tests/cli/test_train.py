"""The command `train`: recipes and networks, runs that go on, and mistakes that are one line each."""

import contextlib
import io
import pathlib
import shutil
import sys

import keras
import numpy as np
import pytest

import keras_deeplab
from keras_deeplab.backbones.resnet import ResNetBackbone
from keras_deeplab.cli import main, train
from keras_deeplab.data import write_layout
from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.labels import CITYSCAPES
from tests.small_datasets import save, write_cityscapes, write_kitti_step
from tests.small_disk import no_space
from tests.small_networks import uncompiled

SIZE = (33, 65)
FILTERS = ("aspp_filters", "semantic_filters", "instance_filters", "instance_head_filters")


def tiny_model(cls, filters, width=1 / 16):
    backbone = ResNetBackbone(
        blocks=(0, 1, 1, 1, 1), block_types=("basic",) * 5, image_shape=(*SIZE, 3),
        stem_width_multiplier=1 / 16, width_multiplier=width,
    )  # fmt: skip
    return cls(backbone, CITYSCAPES, **dict.fromkeys(filters, 8))


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Folder of tiny presets: two of the same classes, and one of another model."""
    folder = tmp_path_factory.mktemp("presets")
    keras.utils.set_random_seed(0)
    tiny_model(keras_deeplab.PanopticDeepLab, FILTERS).save_to_preset(folder / "tiny")
    tiny_model(keras_deeplab.PanopticDeepLab, FILTERS, width=1 / 8).save_to_preset(folder / "wider")
    tiny_model(keras_deeplab.DeepLabV3, ("aspp_filters", "filters")).save_to_preset(folder / "semantic")
    return folder


@pytest.fixture(autouse=True, scope="module")
def run_uncompiled():
    with uncompiled():
        yield


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty folder to work in, with two images of Cityscapes in `city`."""
    write_cityscapes(tmp_path / "city")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(*words, preset, data="city", size="33x65", steps="2", batch_size="2"):
    options = {"--data": data, "--image-size": size, "--steps": steps, "--batch-size": batch_size}
    options["--preset"] = preset
    given = [str(word) for option, value in options.items() if value for word in (option, value)]
    return ["train", "--output", "trial", *given, *map(str, words)]


@pytest.fixture
def command(work, presets, capsys):
    """Runs `train` on the tiny preset for two steps: `(exit code, standard output, error)`."""

    def run(*words, preset="tiny", **changes):
        code = main(words_of(*words, preset=preset and presets / preset, **changes))
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def finished_once(presets, tmp_path_factory):
    """The folder of a run, and what it printed."""
    work = tmp_path_factory.mktemp("finished")
    for split in ("train", "val"):
        write_cityscapes(work / "city", split)
    words = words_of("--log-pictures", 50, "--validate-every", 50, preset=presets / "tiny")
    with contextlib.chdir(work), contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(words) == 0
    return work / "trial", printed.getvalue()


@pytest.fixture
def finished(finished_once, work):
    """A run that the command goes on with: `(folder, what it printed)`."""
    shutil.copytree(finished_once[0], work / "trial")
    return work / "trial", finished_once[1]


@pytest.fixture
def planned(monkeypatch):
    """What the command would train, instead of training it."""
    calls = []

    def note(model, pipeline, steps, folder, callbacks=(), **options):
        calls.append({"model": model, "pipeline": pipeline, "steps": steps, "callbacks": callbacks})

    monkeypatch.setitem(vars(keras_deeplab), "train", note)
    monkeypatch.setattr(train, "_save", lambda model, folder: None)
    return calls


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# What is trained


def test_without_a_recipe_the_settings_are_those_of_the_trial(command, planned):
    assert command(size=None, steps=None, batch_size=None)[0] == 0
    (call,) = planned
    assert call["steps"] == 1000
    assert (call["pipeline"].image_size, call["pipeline"].batch_size) == ((257, 513), 8)
    assert float(call["model"].optimizer.learning_rate) == pytest.approx(2.5e-4)
    assert call["pipeline"].targets.keywords == {"sigma": 8, "small_instance_weight": 3.0}


def test_a_recipe_says_how_to_train_and_options_say_otherwise(command, planned):
    words = ("--recipe", "small_data", "--set", "gradient_accumulation_steps=2", "--set", "center_weight=50")
    words += ("--set", "autoaugment = none", "--learning-rate", "1e-3", "--validate-every", "100")
    write_cityscapes(pathlib.Path("city"), "val")
    code, printed, _ = command(*words, steps="200", batch_size=None)
    (call,) = planned
    assert code == 0
    assert printed.startswith("recipe      small_data\nnetwork     preset ")
    model, pipeline = call["model"], call["pipeline"]
    # 200 updates of 8 images, in two batches each; windows of 50 batches.
    assert (call["steps"], pipeline.batch_size, pipeline.image_size) == (400, 4, SIZE)
    assert call["callbacks"][0].every == 4
    assert model.training_loss.get_config()["center_weight"] == 50
    assert pipeline.transform.autoaugment is None
    facts = model.optimizer.get_config()
    assert (facts["gradient_accumulation_steps"], facts["global_clipnorm"]) == (2, 10.0)
    assert facts["learning_rate"]["config"]["warmup_steps"] == 100
    assert not any(layer.trainable for layer in model.backbone._flatten_layers() if "batch" in layer.name)


def test_a_recipe_of_a_preset_trains_its_network_anew_for_the_classes_of_the_data(command, planned):
    write_kitti_step(pathlib.Path("kitti"), sequences=("0002",))
    code, printed, _ = command(
        "--recipe", "mobilenet_v3_small_cityscapes", preset=None, data="kitti", batch_size=None
    )
    (call,) = planned
    assert code == 0
    assert "network     that of the preset mobilenet_v3_small_cityscapes, with new weights\n" in printed
    expected = keras_deeplab.PanopticDeepLab.from_preset(
        "mobilenet_v3_small_cityscapes", load_weights=False, image_shape=(*SIZE, 3)
    )
    assert call["model"].label_space.name == "kitti_step"
    assert call["model"].count_params() == expected.count_params()
    assert call["model"].backbone.output_stride == expected.backbone.output_stride
    assert call["pipeline"].batch_size == 64


@pytest.mark.parametrize(
    ("words", "cls", "network"),
    [
        ((), "PanopticDeepLab", "mobilenet_v3_small"),
        (("--recipe", "example_deeplab_v3", "--output-stride", "16"), "DeepLabV3", "mobilenet_v3_small"),
        (
            ("--recipe", "resnet50_cityscapes", "--variant", "mobilenet_v3_large"),
            *("PanopticDeepLab", "mobilenet_v3_large"),
        ),
    ],
)
def test_a_network_of_a_variant_is_of_the_recipes_class(command, planned, words, cls, network):
    code, printed, _ = command(*words, preset=None)
    (call,) = planned
    assert code == 0
    assert f"network     {network}, with new weights\n" in printed
    assert type(call["model"]).__name__ == cls
    assert call["model"].backbone.output_stride == (16 if "--output-stride" in words else 32)


def test_examples_are_understood():
    from keras_deeplab.cli import _parser
    from keras_deeplab.training.recipes import Recipe

    for example in train.EXAMPLES:
        options = _parser().parse_args(["train", *example.split()])
        assert Recipe.load(options.recipe, **dict(options.changes))


# What is written


def test_a_run_leaves_a_preset_its_losses_and_pictures(finished):
    folder, printed = finished
    assert "2 images per epoch, 1 batches of 2" in printed
    assert "from step   0" in printed
    assert printed.endswith("trial: the preset, and its losses in losses.csv\n")
    assert files(folder / "pictures") == ["step_00000002.png"]
    header, _ = (folder / "losses.csv").read_text().splitlines()
    assert {"step", "semantic_loss", "val_pq"} <= set(header.split(","))
    assert files(folder / "checkpoints") == ["step_00000002.npz"]
    assert (folder / "task.json").is_file()


def test_a_run_without_its_preset_goes_on(command, finished):
    complaint = complaint_of(command())
    assert complaint == "'trial' already holds a preset. Choose another --output, or --resume its run."
    # As if the process had been killed between the last checkpoint and the preset.
    (finished[0] / "config.json").unlink()
    assert "from step   2" in command()[1]
    assert (finished[0] / "config.json").is_file()


def test_a_network_is_tuned_by_a_recipe(command, work):
    words = ("--recipe", "small_data", "--set", "warmup_steps=0", "--set", "gradient_accumulation_steps=2")
    code, printed, complaint = command(*words)
    assert (code, complaint) == (0, "")
    assert "4, 2.0 epochs" in printed
    assert files(work / "trial" / "checkpoints") == ["step_00000004.npz"]
    model = keras_deeplab.Segmenter.from_preset(work / "trial")
    assert all(np.isfinite(keras.ops.convert_to_numpy(variable)).all() for variable in model.weights)


# Mistakes


def complaint_of(result):
    """What a command said that failed, in one line."""
    code, _, complaint = result
    assert code == 1
    assert complaint.count("\n") == 1
    assert complaint.startswith("error: ")
    return complaint.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "resnet50_cityscape"), "recipe 'resnet50_cityscape'. Similar recipes: resnet50_"),
        (("--set", "learning_rte=1"), "no field 'learning_rte'. Similar fields: learning_rate"),
        (("--set", "clipnorm=much"), "`clipnorm` must be a positive number, or none. Received: 'much'"),
        (("--set", "steps=3"), "The recipe's `steps` is given twice. Leave out one of the options."),
        (("--recipe", "small_data"), "`warmup_steps` 100 must be fewer than `steps` 2"),
        (("--recipe", "example_deeplab_v3"), "trains a DeepLabV3, but the model is a PanopticDeepLab."),
        (("--set", "model=Unheard"), "trains a Unheard, but the model is a PanopticDeepLab."),
        (("--validate-every", "1"), "There are no images city/leftImg8bit/val/"),
        (("--batch-size", "3"), "A batch of 3 is larger than the data, 2 images. Use a smaller batch size."),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(command, work, words, message):
    changes = {"batch_size": None} if "--batch-size" in words else {}
    assert message in complaint_of(command(*words, **changes))
    assert files(work) == ["city"]


def test_a_recipe_of_another_model_is_refused(command, work):
    complaint = complaint_of(command("--recipe", "street", preset="semantic", steps=None))
    assert "'street' trains a PanopticDeepLab, but the model is a DeepLabV3. Recipes for it: " in complaint
    assert files(work) == ["city"]


def test_data_are_looked_for_before_anything_is_written(command, work):
    assert "nowhere" in complaint_of(command(data="nowhere"))
    assert files(work) == ["city"]


def test_an_empty_split_is_refused(command, work):
    write_cityscapes(work / "only_val", "val")
    assert "There are no images only_val/leftImg8bit/train/" in complaint_of(command(data="only_val"))
    assert not (work / "trial").exists()


def test_data_of_other_classes_than_the_presets_are_refused(command, work):
    boats = keras_deeplab.LabelSpace("boats", ("road", "boat"), things=(1,))
    images, maps = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), np.int32)
    write_layout(ArrayReader(images, maps, boats), work / "boats", "coco", progress=False)
    complaint = complaint_of(command(data="boats"))
    assert "labels 'cityscapes', the data 'coco_categories'; the model lacks 'boat'. Build" in complaint
    assert "`from_preset(..., label_space=)` keeps every weight that fits" in complaint
    assert not (work / "trial").exists()


def test_a_label_of_an_unknown_class_is_named_with_its_file(command, work):
    path = work / "city/gtFine/train/bonn/bonn_000000_000019_gtFine_instanceIds.png"
    save(path, np.full((2, 4), 60_001, np.uint16))
    complaint = complaint_of(command(batch_size="1"))
    assert "bonn_000000_000019_gtFine_instanceIds.png" in complaint


@pytest.mark.parametrize(
    ("words", "changes", "difference"),
    [
        ((), {"preset": "wider"}, "width_multiplier was 0.0625 and is 0.125"),
        (("--learning-rate", "1"), {}, "initial_learning_rate was 0.00025 and is 1.0"),
        (("--recipe", "small_data", "--set", "warmup_steps=0"), {}, "model.trainable_weights was "),
        ((), {"data": "berlin"}, "data.names was "),
    ],
)
def test_the_folder_of_another_run_is_refused(command, finished, words, changes, difference):
    write_cityscapes(pathlib.Path("berlin"), cities=("berlin", "bonn"))
    before = contents(finished[0])
    complaint = complaint_of(command("--resume", *words, **changes))
    assert complaint.startswith("'trial/checkpoints' holds checkpoints of another run: ")
    assert difference in complaint
    assert complaint.endswith("Use the settings from before, or another folder.")
    assert contents(finished[0]) == before


def test_a_preset_without_its_checkpoints_is_not_trained_over(command, work, presets):
    (work / "trial").symlink_to(presets / "tiny")
    before = contents(presets / "tiny")
    assert "holds a preset, but no checkpoints to --resume from" in complaint_of(command("--resume"))
    assert contents(presets / "tiny") == before


def test_a_preset_that_does_not_fit_on_the_disk_leaves_what_there_was(command, finished, work):
    before = contents(finished[0])
    with no_space(100_000):
        assert complaint_of(command("--resume")) == (
            "[Errno 27] Cannot write the preset 'trial': File too large. The training is finished, and its "
            "last checkpoint is in 'trial/checkpoints': the same command again writes the preset."
        )
    assert contents(finished[0]) == before
    assert files(work) == ["city", "trial"]


def test_tensorboards_extra_is_named(command, work, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    assert "keras-deeplab[tensorboard]" in complaint_of(command("--tensorboard"))
    assert not (work / "trial").exists()
