"""Trains the presets that come in the package.

    python tools/train_embedded_preset.py street_synthetic
    python tools/train_embedded_preset.py street_camvid --data /data/camvid

Panoptic-DeepLab with MobileNetV3-Small and narrow decoders, in the stages of `embedded_presets.toml`.
A run that was stopped goes on where it was. One to two hours each on two cores.
"""

import argparse
import pathlib
import tomllib

import keras

import keras_deeplab as kd
from keras_deeplab.data.synthetic import WEATHERS, StreetScenes

SETTINGS = tomllib.loads(pathlib.Path(__file__).with_name("embedded_presets.toml").read_text("utf-8"))
# Half of the scenes are in the weather that scenes have when nothing is said, half in any.
WEATHER = ("fair",) * (len(WEATHERS) - 2) + WEATHERS


def build_model(label_space, image_size):
    """The network of both presets: the backbone's features are projected, without atrous convolutions."""
    backbone = kd.MobileNetV3Backbone.from_variant("mobilenet_v3_small", image_shape=(*image_size, 3))
    return kd.PanopticDeepLab(
        backbone,
        label_space,
        atrous_rates=(),
        aspp_filters=96,
        semantic_filters=96,
        instance_filters=64,
        semantic_low_levels=(32, 16),
        instance_low_levels=(16, 8),
    )


def open_training_data(data, recipe, seed):
    """CamVid, or as many rendered scenes as the stage sees images, so that each is seen once."""
    if data is not None:
        return kd.data.CamVid(data, "train")
    size = SETTINGS["street_synthetic"]["image_size"]
    return StreetScenes(recipe.steps * recipe.batch_size, size, seed=seed, weather=WEATHER)


def train_stages(name, data, work):
    """Trains the stages of a preset one after the other; returns the folder of the last one."""
    settings = SETTINGS[name]
    source = settings.get("start")
    for number, fields in enumerate(settings["stages"]):
        seed = settings["seed"] + number
        recipe = kd.Recipe(name=f"{name}, stage {number + 1}", **fields)
        folder = work / name / f"stage{number + 1}"
        if not (folder / "config.json").exists():
            keras.utils.set_random_seed(seed)
            if source is None:
                model = build_model(settings["label_space"], recipe.image_size)
            else:
                model = kd.PanopticDeepLab.from_preset(
                    source, label_space=settings["label_space"], image_shape=(*recipe.image_size, 3)
                )
            model.compile(**recipe.compile_arguments())
            reader = open_training_data(data, recipe, seed)
            pipeline = kd.data.Pipeline(reader, seed=seed, **recipe.pipeline_arguments())
            kd.train(model, pipeline, recipe.num_batches, folder)
            model.save_to_preset(folder)
        source = folder
    return source


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--data", help="folder of CamVid")
    parser.add_argument("--output", type=pathlib.Path, help="default: presets/NAME")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/embedded_presets"))
    arguments = parser.parse_args()
    train_stages(arguments.name, arguments.data, arguments.work)


if __name__ == "__main__":
    main()
