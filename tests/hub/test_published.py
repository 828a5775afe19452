"""Published presets by name alone: from DeepLab2's archives on a local server to its outputs."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone
from keras_deeplab.hub import cache, preset_table, published, registry
from keras_deeplab.hub import download as download_module
from keras_deeplab.hub.preset_table import PresetEntry
from keras_deeplab.models import PanopticDeepLab
from tests.archive_server import folder_content, pack, serve, write_object_checkpoint
from tests.reference_weights import ReferenceCheckpoint, reference_weight
from tests.references import FULL, SOURCES, load_golden, load_manifest

pytest.importorskip("tensorflow")

GOLDEN = "cityscapes__panoptic_deeplab__mobilenet_v3_small_os16"
MODEL = PresetEntry(
    "mobilenet_v3_small_cityscapes", "panoptic_deeplab", "PanopticDeepLab", "mobilenet_v3_small",
    "cityscapes", archive="mobilenet_v3_small_os16_panoptic_deeplab_cityscapes_dwo.tar.gz",
    label_space="cityscapes", image_size=(1025, 2049), output_stride=16,
    backbone={"batch_norm_epsilon": 1e-5}, arguments={"train_crop_size": (1025, 2049)},
    metrics=({"metric": "PQ", "value": 48.4, "evaluator": "official"},), paper="1911.10194",
)  # fmt: skip
BACKBONE = PresetEntry(
    "mobilenet_v3_small_imagenet1k", "imagenet", "Backbone", "mobilenet_v3_small", "imagenet1k",
    archive="mobilenet_v3_small_imagenet1k.tar.gz",
)  # fmt: skip
PLANNED = PresetEntry("future_coco", "future", "FutureLab", "resnet50", "coco", archive=BACKBONE.archive)
ENTRIES = {entry.name: entry for entry in (MODEL, BACKBONE, PLANNED)}
ALIASES = {"small_cityscapes": MODEL.name}
# Folders of the full reference set. Weights do not depend on the output stride.
REAL = {MODEL.name: "panoptic_mobilenet_v3_small_os32", BACKBONE.name: "imagenet_mobilenet_v3_small_encoder"}


def find_entry(name):
    if ALIASES.get(name, name) not in ENTRIES:
        raise ValueError(f"Unknown preset {name!r}. Similar presets: {MODEL.name}.")
    return ENTRIES[ALIASES.get(name, name)]


def write_checkpoint(entry, folder):
    """The checkpoint of an entry with reference weights, as TensorFlow writes it."""
    keys = {
        key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): value
        for key, value in ReferenceCheckpoint(load_manifest(GOLDEN)).items()
        if entry is MODEL or key.startswith("encoder/")
    }
    write_object_checkpoint(folder / "ckpt-1", keys)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Function from an entry and a source of references to an archive's bytes, each made once."""
    made = {}

    def archive(entry, source="compact"):
        if (entry.name, source) not in made:
            folder = tmp_path_factory.mktemp("archives")
            inside = folder / entry.archive.removesuffix(".tar.gz")
            if source == "full":
                shutil.copytree(FULL / "checkpoints" / REAL[entry.name], inside)
            else:
                write_checkpoint(entry, inside)
            made[entry.name, source] = pack(inside, folder / entry.archive).read_bytes()
            shutil.rmtree(folder)
        return made[entry.name, source]

    return archive


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(preset_table, "find_entry", find_entry)
    monkeypatch.setattr(registry, "SOURCES", [s for s in registry.SOURCES if s[0] != "Hugging Face"])
    monkeypatch.setattr(download_module, "RETRY_DELAYS", (0.01,))
    return tmp_path / "cache"


@pytest.fixture
def server(root, monkeypatch):
    with serve(monkeypatch) as server:
        monkeypatch.setenv("KERAS_DEEPLAB_ARCHIVES", server.address)
        yield server


def offer(server, entry, content):
    server.files[entry.archive], server.etags[entry.archive] = content, '"one"'


@pytest.mark.parametrize("source", SOURCES)
def test_a_model_by_name_has_deeplab2s_outputs(server, root, archives, source):
    content = archives(MODEL, source)
    offer(server, MODEL, content)
    model = PanopticDeepLab.from_preset("mobilenet_v3_small_cityscapes", image_shape=(129, 257, 3))
    golden = load_golden(GOLDEN, source)
    heads = keras.Model.predict(model, golden["input"].astype("float32") / 127.5 - 1, verbose=0)
    names = {
        "semantic_logits": "semantic_logits",
        "center_heatmap": "center_heatmap",
        "offset_map": "center_offset",
    }
    for theirs, ours in names.items():
        step, expected = int(golden[f"stride/{theirs}"]), golden[f"out/{theirs}"]
        actual = heads[ours][:, ::step, ::step].reshape(expected.shape)
        assert np.abs(actual - expected).max() <= 1e-3 * golden[f"stats/{theirs}"][1], theirs
    assert server.requests == [(MODEL.archive, None)]
    # The second time everything is there.
    again = PanopticDeepLab.from_preset("small_cityscapes", image_shape=(129, 257, 3))
    for first, second in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second))
    assert len(server.requests) == 1
    folder = root / "presets" / MODEL.name
    assert (
        json.loads((folder / "metadata.json").read_text()).items()
        >= {
            "preset": MODEL.name,
            "archive": MODEL.archive,
            "archive_url": server.url(MODEL.archive),
            "archive_sha256": hashlib.sha256(content).hexdigest(),
            "license": "Apache-2.0",
            "checkpoint": "ckpt-1",
            "paper": "1911.10194",
        }.items()
    )
    assert json.loads((folder / "config.json").read_text())["config"]["image_shape"] == [1025, 2049, 3]
    # Neither the archive nor a working folder stays.
    assert {pathlib.Path(name).parent.name for name in folder_content(root)} == {MODEL.name}


@pytest.mark.parametrize("source", SOURCES)
def test_a_backbone_by_name(server, archives, source):
    offer(server, BACKBONE, archives(BACKBONE, source))
    backbone = Backbone.from_preset(BACKBONE.name)
    key = "encoder/_blocks/1/_conv2_bn_act/_depthwise_conv/depthwise_kernel"
    kernel = keras.ops.convert_to_numpy(backbone.get_layer("block1_depthwise").convolution.kernel)
    np.testing.assert_array_equal(kernel, reference_weight(key, kernel.shape))
    assert len(server.requests) == 1


def test_a_planned_preset_is_not_downloaded(server, archives):
    offer(server, PLANNED, archives(BACKBONE))
    message = "The preset 'future_coco' is planned: this version has no FutureLab yet."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        registry.resolve(PLANNED.name)
    assert server.requests == []


def test_an_unknown_name_is_not_looked_for_elsewhere(server):
    with pytest.raises(ValueError, match="'cityscape' was not found") as error:
        registry.resolve("cityscape")
    assert "cache: not the name of a published preset" in str(error.value)
    assert "DeepLab2's archives: Unknown preset 'cityscape'. Similar presets:" in str(error.value)
    assert server.requests == []


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_offline_nothing_is_downloaded(server, root, archives, monkeypatch, value):
    offer(server, BACKBONE, archives(BACKBONE))
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set") as error:
        registry.resolve(BACKBONE.name)
    path = root / "downloads" / BACKBONE.archive
    assert repr(str(path)) in str(error.value)
    assert server.url(BACKBONE.archive) in str(error.value)
    assert server.requests == []
    # An archive that somebody puts there is as good.
    path.parent.mkdir(parents=True)
    path.write_bytes(archives(BACKBONE))
    assert registry.resolve(BACKBONE.name) == root / "presets" / BACKBONE.name
    assert registry.resolve(BACKBONE.name) == root / "presets" / BACKBONE.name
    assert server.requests == []


def test_archives_in_a_folder(root, archives, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_ARCHIVES", str(tmp_path / "mine"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=rf"no file {BACKBONE.archive} in the folder .*mine"):
        registry.resolve(BACKBONE.name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / BACKBONE.archive).write_bytes(archives(BACKBONE))
    registry.resolve(BACKBONE.name)
    assert (tmp_path / "mine" / BACKBONE.archive).is_file()


def test_the_error_lists_all_that_was_tried(server, root):
    with pytest.raises(ValueError, match=f"Preset '{BACKBONE.name}' was not found. Tried:") as error:
        registry.resolve(BACKBONE.name)
    lines = str(error.value).splitlines()
    assert lines[1] == f"  folder: no folder {BACKBONE.name!r}"
    assert lines[2] == "  package: not among the built-in presets"
    assert lines[3] == f"  cache: not in {str(root / 'presets')!r}"
    assert lines[4].startswith(f"  DeepLab2's archives: Cannot download {server.url(BACKBONE.archive)} to ")
    assert "404" in lines[4]
    assert "placed there by hand" in lines[4]


def test_tensorflow_is_asked_for_before_the_download(server, archives, monkeypatch):
    offer(server, BACKBONE, archives(BACKBONE))
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"keras-deeplab\[tensorflow\]"):
        registry.resolve(BACKBONE.name)
    assert server.requests == []


def test_without_an_archive(root, monkeypatch):
    entry = PresetEntry("mine", "imagenet", "Backbone", "mobilenet_v3_small", "imagenet1k")
    monkeypatch.setitem(ENTRIES, "mine", entry)
    with pytest.raises(ValueError, match="published no archive"):
        registry.resolve("mine")


@pytest.mark.parametrize("kind", ["no archive", "truncated", "other model", "damaged checkpoint", "no data"])
def test_what_is_no_good_leaves_the_cache_as_it_was(server, root, archives, tmp_path, kind):
    (root / "presets" / "other").mkdir(parents=True)
    (root / "presets" / "other" / "config.json").write_text("{}")
    before = folder_content(root)
    good = archives(BACKBONE)
    if kind == "no archive":
        content, message = b"<html>", "damaged from the start, or no tar archive"
    elif kind == "truncated":
        content, message = good[: len(good) // 2], "is damaged at member"
    elif kind == "other model":
        write_object_checkpoint(tmp_path / "run" / "ckpt-1", {"encoder/kernel": np.zeros(1, "float32")})
        content, message = pack(tmp_path / "run", tmp_path / "a").read_bytes(), "Not in the checkpoint"
    else:
        write_checkpoint(BACKBONE, tmp_path / "run")
        data = tmp_path / "run" / "ckpt-1.data-00000-of-00001"
        if kind == "no data":
            data.unlink()
            message = r"incomplete. Missing: ckpt-1\.data"
        else:
            with open(data, "r+b") as file:
                file.seek(1_000_000)
                file.write(b"\xff" * 64)
            message = "is damaged at 'encoder/"
        content = pack(tmp_path / "run", tmp_path / "a").read_bytes()
    offer(server, BACKBONE, content)
    with pytest.raises(ValueError, match=message) as error:
        registry.resolve(BACKBONE.name)
    assert "The download was removed" in str(error.value)
    assert folder_content(root) == before
    assert list((root / "work").iterdir()) == []
    # Once the server has a good one, nothing stands in its way.
    offer(server, BACKBONE, good)
    registry.resolve(BACKBONE.name)


SCRIPT = """
import sys, time
from tests.hub import test_published
from keras_deeplab.hub import preset_table, published, registry
preset_table.find_entry = test_published.find_entry
registry.SOURCES[:] = [s for s in registry.SOURCES if s[0] != "Hugging Face"]
"""


@contextlib.contextmanager
def another_process(script):
    """A Python process, from when it says that it is there; killed if it still runs at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    try:
        while process.stdout.readline() != "there\n":
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_processes_at_once_do_the_work_once(server, root, archives, capsys):
    offer(server, BACKBONE, archives(BACKBONE))
    script = f"""
def unpack_slowly(*arguments, unpack=published.unpack):
    print("there", flush=True)
    time.sleep(3)
    unpack(*arguments)
published.unpack = unpack_slowly
print("folder", registry.resolve({BACKBONE.name!r}))
"""
    folder = root / "presets" / BACKBONE.name
    with another_process(script) as process:
        assert registry.resolve(BACKBONE.name) == folder
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
    assert output.splitlines()[-1] == f"folder {folder}"
    assert "Waiting for another process" in capsys.readouterr().err
    assert server.requests == [(BACKBONE.archive, None)]
    Backbone.from_preset(BACKBONE.name)


def test_a_killed_conversion_starts_anew_without_another_download(server, root, archives):
    offer(server, BACKBONE, archives(BACKBONE))
    script = f"""
def convert_and_stop(*arguments, convert=published.convert_checkpoint):
    convert(*arguments)
    print("there", flush=True)
    time.sleep(600)
published.convert_checkpoint = convert_and_stop
registry.resolve({BACKBONE.name!r})
"""
    with another_process(script):
        assert (root / "work" / BACKBONE.name / "preset" / "config.json").is_file()
        assert cache.cached_folder(BACKBONE.name) is None
    assert (root / "work" / BACKBONE.name / "preset" / "config.json").is_file()
    Backbone.from_preset(BACKBONE.name)
    assert server.requests == [(BACKBONE.archive, None)]
    assert {pathlib.Path(name).parent.name for name in folder_content(root)} == {BACKBONE.name}


def test_an_interrupted_download_goes_on(server, archives):
    offer(server, BACKBONE, archives(BACKBONE))
    server.cuts, server.statuses = [500_000], [None, 503]
    with pytest.raises(ValueError, match="The 500000 bytes so far are kept"):
        registry.resolve(BACKBONE.name)
    Backbone.from_preset(BACKBONE.name)
    assert server.requests[2:] == [(BACKBONE.archive, "bytes=500000-")]
