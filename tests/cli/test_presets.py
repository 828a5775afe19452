import json
import pathlib

import pytest

import keras_deeplab
from keras_deeplab.cli import main, presets_list
from keras_deeplab.hub import preset_table, registry


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", str(tmp_path))
    return tmp_path / "presets"


def printed(capsys, *words):
    assert main(["presets", *words]) == 0
    return capsys.readouterr().out


def row(text, name):
    (line,) = (line for line in text.splitlines() if line.split()[:1] == [name])
    return " ".join(line.split()[1:])


def test_the_group_alone_lists_every_preset(capsys):
    text = printed(capsys)
    assert text == printed(capsys, "list")
    names = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert names[0] == str(len(registry.embedded_presets()) + 91)
    assert set(names) >= {*preset_table.preset_entries(), *registry.embedded_presets()}


def test_a_row_says_what_matters(capsys):
    text = printed(capsys)
    assert row(text, "resnet50_os16_coco") == (
        "panoptic_deeplab resnet50 coco PQ 35.1 (official), mIoU 55.52 (deeplab2) 55.0 M 220 MB available no"
    )
    assert row(text, "moat4_512_imagenet22k_1k") == (
        "moat moat4 imagenet22k_1k top-1 89.1 (authors) 481.2 M 1,925 MB planned no"
    )
    assert (
        row(text, "motion_resnet50_crowd_cityscapes") == "motion_deeplab resnet50 cityscapes - - - planned no"
    )
    assert row(text, "street_camvid").startswith("panoptic_deeplab MobileNetV3Backbone camvid PQ ")
    assert row(text, "street_camvid").endswith(" MB available yes")


def test_a_preset_in_the_cache_is_marked(capsys, empty_cache):
    folder = empty_cache / "resnet50_imagenet1k"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.weights.h5").write_bytes(bytes(3_000_000))
    assert row(printed(capsys), "resnet50_imagenet1k").endswith("23.5 M 3 MB available yes")


def test_json_is_a_list_of_facts(capsys):
    presets = json.loads(printed(capsys, "--json"))
    assert len(presets) == len(registry.embedded_presets()) + 91
    assert all({"name", "family", "status"} <= preset.keys() for preset in presets)
    assert sum(preset["status"] == "available" for preset in presets) == len(registry.embedded_presets()) + 36
    (small,) = (preset for preset in presets if preset["name"] == "mobilenet_v3_small_cityscapes")
    assert (small["family"], small["status"], small["cached"]) == ("panoptic_deeplab", "available", False)
    assert small["parameters"] == 10_484_198
    assert small["metrics"][0] == {"metric": "PQ", "value": 48.4, "evaluator": "official"}


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--family", "kmax_deeplab"), 17),
        (("--dataset", "kitti_step"), 4),
        (("--dataset", "kitti_step", "--status", "available"), 2),
        (("--family", "vip_deeplab", "--status", "planned"), 3),
    ],
)
def test_filters_narrow_the_list(capsys, words, count):
    assert len(json.loads(printed(capsys, *words, "--json"))) == count


def test_a_filter_that_nothing_passes_names_what_there_is(capsys):
    assert main(["presets", "--dataset", "cityscape"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        "error: No preset has the dataset 'cityscape'. There are: camvid, rendered_streets, cityscapes, "
    )


def test_a_narrow_terminal_gets_fewer_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "105")
    monkeypatch.setattr(presets_list.sys.stdout, "isatty", lambda: True, raising=False)
    text = printed(capsys, "--family", "axial_deeplab")
    assert (
        row(text, "axial_swidernet_1_1_3_cityscapes") == "cityscapes PQ 67.1 mIoU 83.5 (official) available"
    )
    assert "--json" in text


def test_show_tells_everything(capsys):
    lines = printed(capsys, "show", "axial_swidernet_cityscapes").splitlines()
    said = {line[:16].strip(): line[16:] for line in lines if line[0] != " "}
    assert said["name"] == "axial_swidernet_1_1_4.5_cityscapes"
    assert said["aliases"] == "axial_swidernet_cityscapes"
    assert said["status"] == "available, not on this machine yet"
    assert said["image size"] == "1025x2049"
    assert said["postprocessor"] == "center_threshold 0.1, nms_kernel 13, top_k 400, stuff_area_limit 2048"
    assert said["training"].endswith("steps 60000, pretraining axial_swidernet_1_1_4.5_imagenet1k")
    assert said["paper"] == "https://arxiv.org/abs/2003.07853"
    assert said["license"] == "Apache-2.0"
    assert said["usage"] == 'keras_deeplab.PanopticDeepLab.from_preset("axial_swidernet_1_1_4.5_cityscapes")'
    metrics = [line[16:] for line in lines if "(official)" in line or "(deeplab2)" in line]
    assert metrics[:2] == ["PQ 68.0 (official)", "mIoU 83.0 (official)"]
    assert len(metrics) == 5


def test_show_of_a_planned_preset_says_so(capsys):
    text = printed(capsys, "show", "kmax_convnext_large_unlabeled_coco")
    assert "planned: this version cannot load it yet\n" in text
    assert "PQ 58.5 (official, test-dev)\n" in text


def test_show_of_a_built_in_preset(capsys):
    shown = json.loads(printed(capsys, "show", "street_camvid", "--json"))
    assert (shown["family"], shown["cached"]) == ("panoptic_deeplab", True)
    assert shown["usage"] == 'keras_deeplab.PanopticDeepLab.from_preset("street_camvid")'
    assert "non-commercial research only" in printed(capsys, "show", "street_camvid")


def test_show_of_an_unknown_preset_names_similar_ones(capsys):
    assert main(["presets", "show", "resnet50_citscapes"]) == 1
    assert (
        "Unknown preset 'resnet50_citscapes'. Similar presets: resnet50_cityscapes" in capsys.readouterr().err
    )


def test_upload_sends_the_folder_and_prints_the_commit(monkeypatch, capsys):
    sent = []

    def upload_preset(address, folder, **options):
        sent.append((address, folder, options))
        return "https://hub/me/mine/commit/1"

    monkeypatch.setitem(vars(keras_deeplab), "upload_preset", upload_preset)
    text = printed(capsys, "upload", "./mine", "hf://me/mine", "--license", "mit", "--private")
    assert text == "https://hub/me/mine/commit/1\n"
    assert sent == [("hf://me/mine", pathlib.Path("mine"), {"private": True, "license": "mit"})]


def test_upload_of_what_is_no_preset_is_a_mistake(tmp_path, capsys):
    assert main(["presets", "upload", str(tmp_path), "hf://me/mine"]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_help_of_the_group_tells_its_commands_and_the_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["presets", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "\n    show " in text
    assert "`keras-deeplab presets` alone is `keras-deeplab presets list`." in text
