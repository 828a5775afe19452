"""Look at datasets, and make some."""

from __future__ import annotations

from keras_deeplab.cli import data_inspect, data_synthesize

COMMANDS = {"inspect": data_inspect, "synthesize": data_synthesize}
