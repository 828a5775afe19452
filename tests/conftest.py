"""Settings for all tests: quiet and quick backends, and no deadlines for hypothesis on loaded machines."""

import os

import hypothesis

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The tests' programs are small: compiling them takes longer than running what is compiled carelessly.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
hypothesis.settings.register_profile(
    "keras_deeplab", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("keras_deeplab")
