"""From the backbone of a DeepLab2 configuration file to the arguments of ours."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tomllib

from keras_deeplab.hub.option_schema import Options, raise_problems, require

_MULTIPLIERS = {
    "stem_width_multiplier": "stem_width_multiplier",
    "width_multiplier": "backbone_width_multiplier",
    "depth_multiplier": "backbone_layer_multiplier",
}
_NORMALIZATION = {"batch_norm_momentum": "batchnorm_momentum", "batch_norm_epsilon": "batchnorm_epsilon"}
_NOT_FIXED = {**dict.fromkeys(_MULTIPLIERS.values(), 1.0), "drop_path_keep_prob": 1.0}


@dataclasses.dataclass(frozen=True)
class KnownBackbone:
    """A table of `deeplab2_backbones.toml`.

    Attributes:
        variant: str. Our name.
        attends: bool. It has axial attention, after which ASPPs are projections unless told otherwise.
        fixed: bool. It has no options but the output stride.
        model: str or `None`. Class of the only model that takes it.
    """

    variant: str
    attends: bool = False
    fixed: bool = False
    model: str | None = None


def known_backbone(backbone: Options) -> KnownBackbone:
    """What is known of the backbone that a configuration names.

    Args:
        backbone: `Options` of BackboneOptions.

    Raises:
        ValueError: for an unknown name.
    """
    name = backbone["name"]
    if name not in _known_backbones():
        problem = f"unknown backbone {name!r}. Backbones: {', '.join(_known_backbones())}."
        raise_problems(backbone.source, [(backbone.line_of("name"), problem)])
    return _known_backbones()[name]


def backbone_arguments(options: Options, problems: list[tuple[int, str]]) -> dict:
    """Arguments of the backbone, beyond its variant, output stride and image shape.

    Args:
        options: `Options` of ExperimentOptions.
        problems: list that collects `(line, message)` of what no backbone here can do.
    """
    backbone = options["model_options"]["backbone"]
    solver = options["trainer_options"]["solver_options"]
    normalization = {ours: solver[name] for ours, name in _NORMALIZATION.items() if name in solver.lines}
    if not known_backbone(backbone).fixed:
        return _residual_arguments(backbone) | normalization
    for name, value in _NOT_FIXED.items():
        require(problems, backbone, name, value, f"with {backbone['name']}")
    return normalization


def _residual_arguments(backbone):
    arguments = {ours: backbone[name] for ours, name in _MULTIPLIERS.items() if backbone[name] != 1.0}
    if backbone["use_squeeze_and_excite"]:
        arguments["squeeze_excite"] = True
    if backbone["use_sac_beyond_stride"] > 0:
        arguments["switchable_from_stride"] = backbone["use_sac_beyond_stride"]
    # 1 - 0.8 is not quite 0.2.
    arguments["drop_path_rate"] = round(1 - backbone["drop_path_keep_prob"], 6)
    arguments["drop_path_schedule"] = backbone["drop_path_schedule"]
    return arguments


@functools.cache
def _known_backbones():
    tables = tomllib.loads(pathlib.Path(__file__).with_name("deeplab2_backbones.toml").read_text("utf-8"))
    return {name: KnownBackbone(**{"variant": name, **table}) for name, table in tables.items()}
