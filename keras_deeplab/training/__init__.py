"""Recipes, optimizers, and runs that go on where they were stopped. Names are imported on first use."""

import importlib

_MODULES = {
    "Checkpoints": "checkpoints",
    "CsvLog": "callbacks",
    "NanGuard": "callbacks",
    "PictureLog": "callbacks",
    "Recipe": "recipes",
    "StepCounter": "callbacks",
    "TensorBoardLog": "callbacks",
    "count_flops": "summary",
    "estimate_memory": "summary",
    "recipe": "recipes",
    "train": "run",
    "training_summary": "summary",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
