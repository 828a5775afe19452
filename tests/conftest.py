"""Settings for all tests: quiet and quick backends, and no deadlines for hypothesis on loaded machines."""

import gc
import os
import sys

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The tests' programs are small: compiling them takes longer than running what is compiled carelessly.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
hypothesis.settings.register_profile(
    "keras_deeplab", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("keras_deeplab")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Frees what JAX compiled for a file of tests: it keeps all of it, which adds up to gigabytes."""
    yield
    if "jax" in sys.modules:
        gc.collect()
        sys.modules["jax"].clear_caches()
