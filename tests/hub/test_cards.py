"""Model cards: metadata that the Hub's own parser reads, and text that is true for the preset."""

import json
import shutil

import huggingface_hub
import pytest

from keras_deeplab.hub import preset_table, registry
from keras_deeplab.hub.cards import model_card

ENTRIES = preset_table.preset_entries()


@pytest.fixture
def segmenter(tmp_path):
    """A folder of a model for streets as one saves it, without its weights."""
    folder, source = tmp_path / "segmenter", registry.embedded_presets()["street_synthetic"]
    folder.mkdir()
    for name in ("config.json", "task.json"):
        shutil.copy(source / name, folder)
    metadata = json.loads((source / "metadata.json").read_text())
    for fact in ("dataset", "note", "metrics", "eval_split", "training"):
        del metadata[fact]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def backbone(segmenter):
    (segmenter / "task.json").unlink()
    return segmenter


def add_metadata(folder, **facts):
    path = folder / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def parse(text):
    card = huggingface_hub.ModelCard(text)
    return card.data, card.text


def test_a_model_that_says_how_it_was_trained(segmenter):
    facts = {
        "dataset": "camvid",
        "license": "non-commercial research only",
        "note": "Instances are connected regions.",
        "metrics": [{"metric": "mIoU", "value": 61.5, "evaluator": "deeplab2"}],
        "eval_split": "val",
    }
    add_metadata(segmenter, **facts)
    data, text = parse(model_card(segmenter, "me/streets"))
    assert (data.license, data.license_name) == ("other", "non-commercial research only")
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_value, result.source_name) == ("CamVid", 61.5, None)
    assert "trained on CamVid. Instances" not in text
    assert "trained on CamVid.\n\nInstances are connected regions.\n" in text
    assert "| mIoU | 61.5 | DeepLab2's evaluation | val |" in text
    assert "measured with `keras-deeplab evaluate`" in text
    assert "The weights: non-commercial research only. The data that they were trained on has" in text
    assert "DeepLab2](" not in text
    data, _ = parse(model_card(segmenter, "me/streets", license="MIT"))
    assert data.license == "mit"


def test_a_model_of_ones_own(segmenter):
    data, text = parse(model_card(segmenter, "me/streets", license="cc-by-4.0"))
    assert data.to_dict() == {
        "license": "cc-by-4.0",
        "library_name": "keras-deeplab",
        "pipeline_tag": "image-segmentation",
        "tags": ["keras", "deeplab", "semantic-segmentation", "panoptic-segmentation"],
    }
    assert "\n# streets\n" in text
    assert "PanopticDeepLab: MobileNetV3Backbone.\n" in text
    assert 'kd.Segmenter.from_preset("hf://me/streets")' in text
    assert 'os.environ["KERAS_BACKEND"] = "jax"  # or "tensorflow", "torch"' in text
    assert "| Images | 513x1025 |" in text
    assert "8 things, which have instances: person (11), rider (12)" in text
    assert "11 stuff: road (0)" in text
    assert "void is 255000" in text
    assert "picture.png" not in text
    assert "Metrics" not in text


def test_without_a_licence_it_says_so(segmenter):
    data, text = parse(model_card(segmenter, "me/streets"))
    assert data.license == "unknown"
    assert "The publisher has named no licence." in text


def test_a_picture_is_shown_when_it_is_there(segmenter):
    (segmenter / "picture.png").write_bytes(b"")
    assert "](picture.png)" in model_card(segmenter, "me/streets")


def test_half_precision_is_named(segmenter):
    add_metadata(segmenter, weights_dtype="bfloat16")
    assert "Kernels are stored in bfloat16" in model_card(segmenter, "me/streets")


def test_a_published_model(segmenter):
    add_metadata(segmenter, archive_sha256="ab12")
    entry = ENTRIES["mobilenet_v3_small_cityscapes"]
    data, text = parse(model_card(segmenter, f"keras-deeplab/{entry.name}", entry))
    assert data.license == "apache-2.0"
    assert data.datasets == ["cityscapes"]
    assert data.base_model == "keras-deeplab/mobilenet_v3_small_imagenet1k"
    assert {"panoptic_deeplab", "cityscapes"} <= set(data.tags)
    assert [(r.metric_name, r.metric_value, r.dataset_split) for r in data.eval_results][:2] == [
        ("PQ (official)", 48.4, "val_fine"),
        ("mIoU (official)", 69.5, "val_fine"),
    ]
    assert "| PQ | 48.4 | the dataset's own script | val_fine |" in text
    assert "| PQ | 48.67 | DeepLab2's evaluation | val_fine |" in text
    assert "[arXiv:1911.10194](https://arxiv.org/abs/1911.10194)" in text
    assert f"Converted from `{entry.archive}`" in text
    assert "SHA-256 of the archive: `ab12`" in text
    assert "(https://www.cityscapes-dataset.com/license/)" in text


def test_a_converted_folder_knows_its_preset(segmenter):
    entry = ENTRIES["mobilenet_v3_small_cityscapes"]
    plain = model_card(segmenter, "me/copy")
    add_metadata(segmenter, preset=entry.name, archive=entry.archive)
    assert model_card(segmenter, "me/copy") == model_card(segmenter, "me/copy", entry) != plain
    add_metadata(segmenter, preset="no_longer_known")
    assert model_card(segmenter, "me/copy") == plain


def test_a_backbone(backbone):
    entry = ENTRIES["mobilenet_v3_small_imagenet1k"]
    data, text = parse(model_card(backbone, f"keras-deeplab/{entry.name}", entry))
    assert data.pipeline_tag == "image-feature-extraction"
    assert data.eval_results is None
    assert f'kd.Backbone.from_preset("hf://keras-deeplab/{entry.name}")' in text
    assert "backbone(images / 127.5 - 1.0)" in text
    assert "## Classes" not in text


def test_a_backbone_with_other_normalization_says_so(backbone):
    entry = ENTRIES["moat0_224_imagenet1k"]
    data, text = parse(model_card(backbone, f"keras-deeplab/{entry.name}", entry))
    assert "backbone((images - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375])" in text
    assert (data.eval_results[0].task_type, data.eval_results[0].metric_type) == (
        "image-classification",
        "accuracy",
    )


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_every_published_preset_gets_a_valid_card(segmenter, entry):
    text = model_card(segmenter, f"keras-deeplab/{entry.name}", entry)
    data, body = parse(text)
    assert "None" not in text
    assert len(data.eval_results or []) == len(entry.metrics)
    assert data.datasets
    assert "terms of its own" in body
    # What the parser reads is what it would write: nothing was lost on the way.
    assert huggingface_hub.ModelCard(str(huggingface_hub.ModelCard(text))).data.to_dict() == data.to_dict()


def test_a_broken_folder_is_named(segmenter):
    (segmenter / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"Cannot read .*config\.json"):
        model_card(segmenter, "me/streets")
