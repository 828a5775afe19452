"""List the published and built-in models, look at one, or publish one."""

from __future__ import annotations

from keras_deeplab.cli import presets_list, presets_show, presets_upload

COMMANDS = {"list": presets_list, "show": presets_show, "upload": presets_upload}
DEFAULT = "list"
