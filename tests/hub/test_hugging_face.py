"""Loading from the Hub: the real client against a server on this machine, whose address and environment
`tests/conftest.py` sets before anything imports the client.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone
from keras_deeplab.hub import hugging_face, preset_folder, registry
from keras_deeplab.hub.upload import upload_preset
from keras_deeplab.models import PanopticDeepLab, Segmenter
from tests.hub_server import Repository

NAME = "mobilenet_v3_small_imagenet1k"


@pytest.fixture(scope="module")
def model():
    backbone = Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3))
    return PanopticDeepLab(backbone, aspp_filters=8, semantic_filters=8, instance_filters=8)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "preset"
    model.save_to_preset(folder)
    return folder


@pytest.fixture
def published(hub, folder):
    """The id of the commit that holds the model."""
    return upload_preset("hf://me/model", folder)[-40:]


@pytest.fixture
def offline(monkeypatch):
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def small(hub):
    """A repository with the least that counts as a preset."""
    hub.repositories["me/small"] = Repository()
    hub.repositories["me/small"].commit({"config.json": b"{}", "README.md": b"large"}, "small")
    return hub.repositories["me/small"]


def reason(preset):
    with pytest.raises(LookupError) as error:
        hugging_face.find(preset)
    text = str(error.value.args[0])
    assert "\n" not in text
    return text


def weights(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


def test_upload_then_download_gives_the_same_outputs(hub, published, model):
    copy = Segmenter.from_preset("hf://me/model")
    images = np.random.default_rng(0).uniform(-1, 1, (1, 33, 33, 3)).astype("float32")
    expected, found = model(images), copy(images)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (expected[name], found[name])))


def test_sharded_half_precision_weights_come_back(hub, model, tmp_path):
    model.save_to_preset(tmp_path / "preset", max_shard_size=0.002, weights_dtype="bfloat16")
    upload_preset("hf://me/large", tmp_path / "preset")
    assert sum("model_0" in path for path in hub.repositories["me/large"].files) > 1
    copy = Segmenter.from_preset("hf://me/large")
    for ours, theirs in zip(weights(model), weights(copy), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2**-8 if ours.ndim > 1 else 0)


def test_a_pinned_revision_stays_what_it_was(hub, published, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    preset_folder.cast_preset(other, "float16")
    hub.repositories["me/model"].names["v1"] = published
    upload_preset("hf://me/model", other)
    for revision, expected in ((f"@{published}", folder), ("@v1", folder), ("", other)):
        found = hugging_face.find(f"hf://me/model{revision}")
        for file in ("model.weights.h5", "task.weights.h5"):
            assert (found / file).read_bytes() == (expected / file).read_bytes()


def test_a_second_load_fetches_no_file(hub, published):
    first = hugging_face.find("hf://me/model")
    hub.requests.clear()
    assert hugging_face.find("hf://me/model") == first
    # The one question is which commit `main` is.
    assert [path for _, path in hub.requests] == ["/api/models/me/model/revision/main"]


def test_a_pinned_commit_asks_nothing_once_it_is_cached(hub, published):
    first = hugging_face.find(f"hf://me/model@{published}")
    hub.requests.clear()
    assert hugging_face.find(f"hf://me/model@{published}") == first
    assert hub.requests == []


def test_only_what_a_preset_needs_is_downloaded(hub, published, folder):
    assert "README.md" in hub.repositories["me/model"].files
    found = hugging_face.find("hf://me/model")
    assert {path.name for path in found.iterdir()} == {path.name for path in folder.iterdir()}


def test_offline_the_cache_serves(hub, published, offline):
    first = hugging_face.find("hf://me/model")
    hub.requests.clear()
    offline()
    assert hugging_face.find("hf://me/model") == first
    assert hugging_face.find(f"hf://me/model@{published}") == first
    assert hub.requests == []


def test_an_unreachable_hub_leaves_the_cache(hub, small, monkeypatch):
    from huggingface_hub import constants

    first = hugging_face.find("hf://me/small")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert hugging_face.find("hf://me/small") == first
    assert "cannot reach http://127.0.0.1:9" in reason("hf://me/other")


def test_offline_and_not_cached_is_said(hub, small, offline):
    offline()
    assert reason("hf://me/small") == "'me/small' is not in the local cache, and HF_HUB_OFFLINE is set"


def test_an_incomplete_cache_is_not_used_offline(hub, small, offline):
    (hugging_face.find("hf://me/small") / "config.json").unlink()
    offline()
    assert "not in the local cache" in reason("hf://me/small")


def test_settings_of_the_environment_reach_the_client(small, tmp_path, hub):
    """In a process of its own, as they are read when it starts."""
    code = "from keras_deeplab.hub import hugging_face; print(hugging_face.find('hf://me/small'))"

    def run(**settings):
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "HF_HUB_CACHE": str(tmp_path / "elsewhere"), **settings},
            capture_output=True,
            text=True,
            cwd=pathlib.Path(__file__).parents[2],
        )

    assert "HF_HUB_OFFLINE is set" in run(HF_HUB_OFFLINE="1").stderr
    found = run().stdout.strip()
    assert found.startswith(str(tmp_path / "elsewhere"))
    assert run(HF_HUB_OFFLINE="1").stdout.strip() == found
    hub.repositories["me/small"].private = True
    nobody = {"HF_TOKEN": "", "HF_HUB_CACHE": str(tmp_path / "third")}
    assert "no repository 'me/small', or it is private" in run(**nobody).stderr


def test_a_missing_repository_is_named(hub):
    assert reason("hf://me/none").startswith("no repository 'me/none', or it is private")


def test_a_private_repository_needs_a_token(hub, small, monkeypatch):
    small.private = True
    monkeypatch.delenv("HF_TOKEN")
    assert "`hf auth login` or HF_TOKEN" in reason("hf://me/small")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    assert hugging_face.find("hf://me/small").is_dir()


def test_a_gated_repository_says_where_to_ask(hub, small):
    small.gated = True
    assert f"access to 'me/small' must be granted to you at {hub.url}/me/small" in reason("hf://me/small")


def test_a_missing_revision_is_named(hub, small):
    assert reason("hf://me/small@v9") == "the repository 'me/small' has no revision 'v9'"


def test_a_repository_without_a_preset_is_named(hub):
    hub.repositories["me/empty"] = Repository()
    assert reason("hf://me/empty") == "the repository 'me/empty' has no config.json: it holds no preset"


def test_a_missing_weights_file_is_named(hub, published):
    repository = hub.repositories["me/model"]
    repository.commit({k: v for k, v in repository.files.items() if k != "model.weights.h5"}, "break")
    with pytest.raises(ValueError, match=r"incomplete: model\.weights\.h5 is missing"):
        Backbone.from_preset("hf://me/model")


def test_a_hub_that_fails_for_a_moment_is_asked_again(hub, small, monkeypatch):
    monkeypatch.setattr(hugging_face, "_PAUSES", (0, 0))
    hub.fail("GET", "^/api/models/me/small/revision", 503, times=2)
    assert hugging_face.find("hf://me/small").is_dir()
    assert hub.paths("GET").count("/api/models/me/small/revision/main") == 3


def test_a_file_that_fails_for_a_moment_is_asked_for_again(hub, small, monkeypatch):
    monkeypatch.setattr(hugging_face, "_PAUSES", (0, 0))
    hub.fail("GET", "/resolve/", 503)
    assert (hugging_face.find("hf://me/small") / "config.json").read_text() == "{}"


def test_a_hub_that_keeps_failing_is_named(hub, small, monkeypatch):
    monkeypatch.setattr(hugging_face, "_PAUSES", (0, 0))
    hub.fail("GET", "^/api/models", 503, times=3)
    assert "the Hub failed on 'me/small': Server error '503" in reason("hf://me/small")
    assert hub.paths("GET").count("/api/models/me/small/revision/main") == 3


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/c", "hf://a/b@", "hf://a/b c"])
def test_malformed_addresses_are_errors(hub, address):
    assert "no address of the form" in reason(address)
    assert hub.requests == []


def test_a_name_that_the_hub_forbids_is_an_error(hub):
    assert "'me/..'" in reason("hf://me/..")


def test_names_of_published_presets_lead_to_the_organisation(hub, monkeypatch):
    assert f"'keras-deeplab/{NAME}'" in reason(NAME)
    monkeypatch.setenv("KERAS_DEEPLAB_ORG", "mirror")
    hub.repositories[f"mirror/{NAME}"] = Repository()
    commit_id = hub.repositories[f"mirror/{NAME}"].commit({"config.json": b"{}"}, "published")
    assert hugging_face.find(NAME).name == commit_id
    assert hugging_face.find(f"{NAME}@{commit_id}").name == commit_id


def test_other_names_are_not_asked_for(hub):
    assert "neither the name of a published preset" in reason("my_model")
    assert hub.requests == []


def test_the_registry_tells_the_reason(hub):
    with pytest.raises(ValueError, match="  Hugging Face: no repository 'me/none'"):
        registry.resolve("hf://me/none")


def test_addresses_are_split():
    assert hugging_face.split_address("hf://me/my.model-1@v1.0/x") == ("me/my.model-1", "v1.0/x")
    assert hugging_face.split_address("hf://me/model/") == ("me/model", None)
