"""Settings for all tests: quiet backends, and no deadlines for hypothesis on loaded machines."""

import os

import hypothesis

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
hypothesis.settings.register_profile(
    "keras_deeplab", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("keras_deeplab")
