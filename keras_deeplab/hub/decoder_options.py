"""From the decoders of a DeepLab2 configuration file to the arguments of our models.

Each function takes the `Options` of ModelOptions and a list that collects `(line, message)` of what no model
here can do.
"""

from __future__ import annotations

from keras_deeplab.hub.option_schema import Options, require
from keras_deeplab.models.context import ATROUS_RATES

_SEPARABLE = "depthwise_separable_conv"
_FIXED_FEATURE = "the feature that the decoder here takes"


def panoptic_deeplab_arguments(model: Options, problems: list[tuple[int, str]]) -> dict:
    """Arguments of `PanopticDeepLab`, without those of the ASPP's context."""
    decoder, family = model["decoder"], model["panoptic_deeplab"]
    filters = decoder["decoder_channels"]
    _check_decoder(decoder, problems)
    _check_head(family["semantic_head"], filters, "as many as decoder_channels", problems)
    arguments = {
        "aspp_filters": decoder["aspp_channels"],
        "semantic_filters": filters,
        "semantic_low_levels": _low_levels(family, "low_level", problems),
        "instance_branch": family["instance"]["enable"],
    }
    if family["instance"]["enable"]:
        arguments |= _instance_arguments(family, decoder, problems)
    return arguments


def _instance_arguments(family, semantic_decoder, problems):
    instance = family["instance"]
    decoder = instance["instance_decoder_override"]
    if "instance_decoder_override" in instance.lines:
        _check_decoder(decoder, problems)
        for name in ("aspp_channels", "aspp_use_only_1x1_proj_conv", "atrous_rates"):
            require(problems, decoder, name, semantic_decoder[name], "as in the semantic decoder")
    else:
        message = "instance needs an instance_decoder_override: one decoder for all heads is not there."
        problems.append((instance.line, message))
    filters = instance["center_head"]["head_channels"]
    for name, outputs in (("center_head", 1), ("regression_head", 2)):
        require(problems, instance[name], "output_channels", outputs, f"in a {name}")
        _check_head(instance[name], filters, "as in the center_head", problems)
    is_overridden = "low_level_override" in instance.lines
    low_levels = (instance, "low_level_override") if is_overridden else (family, "low_level")
    return {
        "instance_filters": decoder["decoder_channels"],
        "instance_head_filters": filters,
        "instance_low_levels": _low_levels(*low_levels, problems),
    }


def deeplab_v3_arguments(model: Options, problems: list[tuple[int, str]]) -> dict:
    """Arguments of `DeepLabV3`, without those of the ASPP's context."""
    decoder = model["decoder"]
    require(problems, decoder, "feature_key", "res5", _FIXED_FEATURE)
    return {"aspp_filters": decoder["aspp_channels"], "filters": decoder["decoder_channels"]}


def deeplab_v3_plus_arguments(model: Options, problems: list[tuple[int, str]]) -> dict:
    """Arguments of `DeepLabV3Plus`, without those of the ASPP's context."""
    low_level = model["deeplab_v3_plus"]["low_level"]
    require(problems, low_level, "feature_key", "res2", _FIXED_FEATURE)
    return deeplab_v3_arguments(model, problems) | {"low_level_filters": low_level["channels_project"]}


def atrous_rates(model: Options, attends: bool, problems: list[tuple[int, str]]) -> tuple[int, ...] | None:
    """Rates of the ASPPs.

    Args:
        model: `Options` of ModelOptions.
        attends: bool. The backbone has axial attention.
        problems: list that collects `(line, message)`.

    Returns:
        Three rates, `()` for a projection, or `None` where they are the models' own choice for the backbone.
    """
    decoder = model["decoder"]
    if decoder["aspp_use_only_1x1_proj_conv"]:
        return None if attends else ()
    rates = tuple(decoder["atrous_rates"])
    if len(rates) != 3:
        message = f"atrous_rates must be three. Found: {list(rates)}."
        problems.append((decoder.line_of("atrous_rates"), message))
    is_usual = not attends and rates == ATROUS_RATES.get(model["backbone"]["output_stride"])
    return None if is_usual else rates


def _check_decoder(decoder, problems):
    require(problems, decoder, "feature_key", "res5", _FIXED_FEATURE)
    require(problems, decoder, "decoder_conv_type", _SEPARABLE, "the only kind that is there")


def _check_head(head, filters, reason, problems):
    require(problems, head, "head_channels", filters, reason)
    require(problems, head, "head_conv_type", _SEPARABLE, "the only kind that is there")


def _low_levels(options, name, problems):
    keys = [level["feature_key"] for level in options[name]]
    if keys != ["res3", "res2"]:
        message = f"{name} must be given for 'res3' and then for 'res2'. Found: {keys}."
        problems.append((options.line_of(name), message))
    return tuple(level["channels_project"] for level in options[name])
