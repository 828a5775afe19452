"""DeepLab2 configuration files, written from the documented fields."""


def write(message, indent=""):
    """Text format of a dict: dicts are messages, lists are repeated fields."""
    lines = []
    for name, values in message.items():
        for value in values if isinstance(values, list | tuple) else [values]:
            if isinstance(value, dict):
                lines += [f"{indent}{name} {{", write(value, indent + "  "), f"{indent}}}"]
            else:
                text = f'"{value}"' if isinstance(value, str) else str(value).lower()
                lines.append(f"{indent}{name}: {text}")
    return "\n".join(line for line in lines if line)


def decoder(rates, channels=256):
    """DecoderOptions; without rates, the ASPP is a projection."""
    context = {"atrous_rates": list(rates)} if rates else {"aspp_use_only_1x1_proj_conv": True}
    return {"feature_key": "res5", "decoder_channels": channels, "aspp_channels": 256, **context}


def low_levels(*channels):
    return [
        {"feature_key": name, "channels_project": count}
        for name, count in zip(("res3", "res2"), channels, strict=True)
    ]


def panoptic_deeplab(num_classes, rates, enable=True):
    """The message `panoptic_deeplab` as the published files fill it in."""
    instance = {
        "enable": enable,
        "low_level_override": low_levels(32, 16),
        "instance_decoder_override": decoder(rates, 128),
        "center_head": {"output_channels": 1, "head_channels": 32},
        "regression_head": {"output_channels": 2, "head_channels": 32},
    }
    return {
        "low_level": low_levels(64, 32),
        "instance": instance,
        "semantic_head": {"output_channels": num_classes, "head_channels": 256},
    }


def experiment(
    family="panoptic_deeplab", backbone=(), rates=(3, 6, 9), num_classes=19, enable=True, **datasets
):
    """ExperimentOptions of a network for Cityscapes."""
    crop = {"dataset": "cityscapes_panoptic", "crop_size": [1025, 2049], **datasets}
    families = {
        "panoptic_deeplab": panoptic_deeplab(num_classes, rates, enable),
        "deeplab_v3": {"num_classes": num_classes},
        "deeplab_v3_plus": {
            "num_classes": num_classes,
            "low_level": {"feature_key": "res2", "channels_project": 48},
        },
    }
    return {
        "experiment_name": "mine",
        "model_options": {
            "initial_checkpoint": "${INIT_CHECKPOINT}",
            "backbone": {"name": "resnet50", "output_stride": 32, **dict(backbone)},
            "decoder": decoder(rates),
            family: families[family],
        },
        "trainer_options": {
            "save_checkpoints_steps": 1000,
            "loss_options": {
                "semantic_loss": {"name": "softmax_cross_entropy", "weight": 1.0, "top_k_percent": 0.2},
                "center_loss": {"name": "mse", "weight": 200},
                "regression_loss": {"name": "l1", "weight": 0.01},
            },
            "solver_options": {"base_learning_rate": 0.00025, "training_number_of_steps": 60000},
        },
        "train_dataset_options": {
            **crop,
            "file_pattern": "${TRAIN_SET}",
            "batch_size": 8,
            "augmentations": {
                "min_scale_factor": 0.5,
                "max_scale_factor": 2.0,
                "scale_factor_step_size": 0.1,
                "autoaugment_policy_name": "simple_classification_policy_magnitude_scale_0.2",
            },
            "increase_small_instance_weights": True,
            "small_instance_weight": 3.0,
        },
        "eval_dataset_options": {**crop, "file_pattern": "${VAL_SET}", "batch_size": 1},
        "evaluator_options": {
            "continuous_eval_timeout": -1,
            "stuff_area_limit": 2048,
            "center_score_threshold": 0.1,
            "nms_kernel": 13,
            "save_predictions": True,
            "merge_semantic_and_instance_with_tf_op": False,
        },
    }


def published(manifest):
    """ExperimentOptions of the network that a manifest of DeepLab2's checkpoints describes."""
    keys = [key for key, *_ in manifest["checkpoint"]]
    rates = {16: (6, 12, 18), 32: (3, 6, 9)}[manifest["output_stride"]]
    if manifest.get("golden", "").startswith("example"):
        # The examples' configurations keep the rates of output stride 16 at 32.
        rates = (6, 12, 18)
    options = experiment(
        manifest["decoder"],
        manifest["backbone_options"],
        rates if any("_aspp_conv1/" in key for key in keys) else (),
        manifest["num_classes"],
        enable=any(key.startswith("instance_decoder") for key in keys),
        dataset=manifest.get("dataset", "cityscapes_panoptic"),
        crop_size=manifest.get("train_crop_size", [1025, 2049]),
    )
    if "eval_crop_size" in manifest:
        options["eval_dataset_options"]["crop_size"] = manifest["eval_crop_size"]
    solver = options["trainer_options"]["solver_options"]
    solver["batchnorm_momentum"] = round(manifest["batchnorm"]["momentum"], 7)
    solver["batchnorm_epsilon"] = round(manifest["batchnorm"]["epsilon"], 9)
    return options
