"""Keeps the backends' CPU thread pools and logs small, so that tests run side by side."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
