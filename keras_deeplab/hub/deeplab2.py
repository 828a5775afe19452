"""Loads DeepLab2's checkpoints.

A checkpoint is a mapping from keys such as `encoder/_stage2/_block1/_conv1_bn_act/_conv/kernel` to arrays.
Short tables translate the paths of our variables to these keys, module by module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_NOT_WEIGHTS = re.compile(
    r"\.OPTIMIZER_SLOT|(^|/)(optimizer|backbone_optimizer|learning_rate|save_counter|global_step|step)(/|$)"
    r"|^_CHECKPOINTABLE_OBJECT_GRAPH$"
)

# Each rule is a regular expression on what is left of a path, and what it becomes.
_LAYER_RULES = [
    (r"/depthwise_conv/kernel$", "/_depthwise_conv/depthwise_kernel"),
    (r"/conv/(kernel|bias)$", r"/_conv/\1"),
    (r"/batch_norm/", "/_batch_norm/"),
]

RESNET_RULES = [
    (r"^stem/conv([12])/", r"_stem/_conv\1_bn_act/"),
    (r"^stem/conv3/", "_stem/_conv3_bn/"),
    (r"^stem/", "_stem/"),
    (r"^(decoder_)?stage(\d+)_block(\d+)/", r"_\1stage\2/_block\3/"),
    (r"^decoder_stage(\d+)_fuse/(resized|strided)(\d)/", r"_decoder_stage\1_resized_fuse/_\2_conv_bn\3/"),
    (r"/(conv1|reduce)/", "/_conv1_bn_act/"),
    (r"/spatial/", "/_conv2_bn_act/"),
    (r"/conv2/", "/_conv2_bn/"),
    (r"/expand/", "/_conv3_bn/"),
    (r"/shortcut/", "/_shortcut/"),
    (r"/squeeze_excite/gate/conv/", "/_squeeze_and_excite/_se_conv/"),
    (r"/attention/(height_axis|width_axis|attention\d)/", r"/_attention/_\1/"),
    (r"/(query|key|value)_position_table$", r"/_\1_rpe/embeddings"),
    (r"/batch_norm_(qkv|similarity)/", r"/_batch_norm_\1/"),
    (r"/batch_norm_retrieved/", "/_batch_norm_retrieved_output/"),
    (r"/(pre|post)_global_context/context/conv/", r"/_\1_global_context/convolution/"),
    (r"/switch/(\w+)$", r"/_conv/_switch/\1"),
    # The kernel that both rates of a switchable convolution share.
    (r"/(_conv\d_bn(_act)?)/kernel$", r"/\1/_conv/kernel"),
]

_MOBILENET_RULES = [
    (r"^stem/", "_blocks/0/"),
    (r"^block(\d+)_expand/", r"_blocks/\1/_conv1_bn_act/"),
    (r"^block(\d+)_depthwise/", r"_blocks/\1/_conv2_bn_act/"),
    (r"^block(\d+)_squeeze_excite/(\w+)/conv/", r"_blocks/\1/_squeeze_excitation/_se_\2/"),
    (r"^block(\d+)_project/", r"_blocks/\1/_conv3_bn/"),
]


def _aspp_rules(ours, theirs):
    return [
        (f"{ours}/conv/", f"{theirs}/_conv_bn_act/"),
        (f"{ours}/atrous(\\d)/", f"{theirs}/_aspp_conv\\1/_conv_bn_act/"),
        (f"{ours}/pool/", f"{theirs}/_aspp_pool/_conv_bn_act/"),
        (f"{ours}/project/", f"{theirs}/_proj_conv_bn_act/"),
    ]


_PANOPTIC_DEEPLAB_RULES = [
    *_aspp_rules("_decoder/aspp", "_decoder/_aspp"),
    (r"_decoder/project(\d)/", r"_decoder/_low_level_conv\1/"),
    (r"_decoder/fuse(\d)/(\w+)/", r"_decoder/_fusion_conv\1/_conv1_bn_act/_\2/"),
    (r"^(\w+)_head/conv/(\w+)/", r"\1_head_without_last_layer/_conv1_bn_act/_\2/"),
    (r"^semantic_head/predict/", "semantic_last_layer/"),
    (r"^(\w+)_head/predict/", r"\1_head_last_layer/"),
    (r"^center_head", "instance_center_head"),
    (r"^offset_head", "instance_regression_head"),
]
_DEEPLAB_V3_RULES = [
    *_aspp_rules("^semantic_decoder/aspp", "deeplab_v3_aspp"),
    (r"^semantic_decoder/conv/", "classifier_conv_bn_act/"),
    (r"^semantic_decoder/predict/", "semantic_last_layer/"),
]
_DEEPLAB_V3_PLUS_RULES = [
    *_aspp_rules("^semantic_decoder/aspp", "deeplab_v3plus_aspp"),
    (r"^semantic_decoder/project/", "deeplab_v3plus_project_conv_bn_act/"),
    (r"^semantic_decoder/fuse(\d)/(\w+)/", r"deeplab_v3plus_fuse/_conv\1_bn_act/_\2/"),
    (r"^semantic_decoder/predict/", "semantic_last_layer/"),
]
_DECODER_RULES = {
    DeepLabV3: _DEEPLAB_V3_RULES,
    DeepLabV3Plus: _DEEPLAB_V3_PLUS_RULES,
    PanopticDeepLab: _PANOPTIC_DEEPLAB_RULES,
}


def load_weights(model: keras.Model, reader: Mapping[str, np.ndarray]) -> None:
    """Fills a model's weights from a DeepLab2 checkpoint.

    Args:
        model: a `Segmenter` or a `Backbone`.
        reader: mapping from checkpoint keys to arrays, with or without TensorFlow's
            `/.ATTRIBUTES/VARIABLE_VALUE` endings. For a backbone, keys outside of `encoder/` may be there.

    Raises:
        ValueError: if a variable is not in the checkpoint, a key is left over, or a shape differs. The
            message lists all of them, and nothing is changed.

    Example:
    ```python
    checkpoint = tf.train.load_checkpoint("ckpt-60000")
    load_weights(model, {key: checkpoint.get_tensor(key) for key in checkpoint.get_variable_to_shape_map()})
    ```
    """
    available = {
        key.removesuffix(_SUFFIX): key
        for key in reader
        if not _NOT_WEIGHTS.search(key) and (not isinstance(model, Backbone) or key.startswith("encoder/"))
    }
    wanted = checkpoint_keys(model)
    missing = sorted(key for key in wanted if key not in available)
    unused = sorted(key for key in available if key not in wanted)
    values = {key: np.asarray(reader[available[key]]) for key in wanted if key in available}
    misshapen = [
        f"{key}: {values[key].shape} in the checkpoint, {tuple(variable.shape)} in the model"
        for key, variable in wanted.items()
        if key in values and values[key].shape != tuple(variable.shape)
    ]
    problems = {
        "Not in the checkpoint": missing,
        "In the checkpoint, but not in the model": unused,
        "Of another shape": misshapen,
    }
    if any(problems.values()):
        raise ValueError(
            f"The checkpoint does not fit {model.name!r} ({len(wanted)} variables).\n"
            + "\n".join(
                f"{title} ({len(keys)}):\n  " + "\n  ".join(keys) for title, keys in problems.items() if keys
            )
        )
    for key, variable in wanted.items():
        variable.assign(values.pop(key))


def checkpoint_keys(model: keras.Model) -> dict[str, keras.Variable]:
    """DeepLab2's key of every variable of a model.

    Args:
        model: a `Segmenter` or a `Backbone`.

    Returns:
        Dict from key to variable, in the model's order.
    """
    if isinstance(model, Backbone):
        return {f"encoder/{translate(v.path, _backbone_rules(model))}": v for v in model.weights}
    rules = next((rules for cls, rules in _DECODER_RULES.items() if isinstance(model, cls)), None)
    if rules is None:
        names = ", ".join(cls.__name__ for cls in (Backbone, *_DECODER_RULES))
        raise ValueError(f"DeepLab2 has no checkpoint of a {type(model).__name__}, only of: {names}.")
    keys = checkpoint_keys(model.backbone)
    in_backbone = {id(v) for v in model.backbone.weights}
    for variable in model.weights:
        if id(variable) not in in_backbone:
            keys[translate(variable.path, rules)] = variable
    return keys


def _backbone_rules(backbone):
    if hasattr(backbone, "head_filters"):
        return [*_MOBILENET_RULES, (r"^head/", f"_blocks/{len(backbone.blocks) + 1}/")]
    return RESNET_RULES


def translate(path, rules):
    for pattern, replacement in [*rules, *_LAYER_RULES]:
        path = re.sub(pattern, replacement, path)
    return path
