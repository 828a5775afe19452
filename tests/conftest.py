"""Settings for all tests: quiet and quick backends, no deadlines on loaded machines, no internet."""

import atexit
import gc
import os
import shutil
import sys
import tempfile

import hypothesis
import pytest

from tests.hub_server import HubServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The tests' programs are small: compiling them takes longer than running what is compiled carelessly.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
hypothesis.settings.register_profile(
    "keras_deeplab", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("keras_deeplab")

# huggingface_hub reads these once, when Keras imports it: so the server stands before any test does. Whatever
# asks the Hub gets this one's "no such repository", without the developer's token, cache or internet.
HUB = HubServer().start()
HF_HOME = tempfile.mkdtemp(prefix="keras_deeplab_hub_")
atexit.register(shutil.rmtree, HF_HOME, ignore_errors=True)
for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "KERAS_DEEPLAB_ORG"):
    os.environ.pop(name, None)
os.environ.update(
    HF_ENDPOINT=HUB.url,
    HF_HOME=HF_HOME,
    # Its client, in Rust, talks a protocol of its own that the server has not.
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    # Else requests to 127.0.0.1 would go through a proxy that the machine may have.
    NO_PROXY="127.0.0.1",
)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The Hub, empty, for someone who has a token and an empty cache."""
    from huggingface_hub import constants

    HUB.reset()
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    return HUB


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Frees what JAX compiled for a file of tests: it keeps all of it, which adds up to gigabytes."""
    yield
    if "jax" in sys.modules:
        gc.collect()
        sys.modules["jax"].clear_caches()
