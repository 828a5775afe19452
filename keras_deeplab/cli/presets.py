"""List the published and built-in models, and look at one."""

from __future__ import annotations

from keras_deeplab.cli import presets_list, presets_show

COMMANDS = {"list": presets_list, "show": presets_show}
DEFAULT = "list"
