"""Trains the presets that come in the package.

    python tools/train_embedded_preset.py street_synthetic
    python tools/train_embedded_preset.py street_camvid --data /data/camvid

Panoptic-DeepLab with MobileNetV3-Small and narrow decoders, in the stages of `embedded_presets.toml`. A run
that was stopped goes on where it was. Stage 1 of street_synthetic took ten minutes on a GPU (JAX on an H200),
where the others together would take about as long; they took 160 minutes on two cores, where stage 1 would
take as long again, and street_camvid 25, all on PyTorch with freed memory kept (docs/memory.md).
"""

import argparse
import json
import pathlib
import resource
import tomllib

import keras
from rendered_scenes import RenderedScenes, RepeatedScenes

import keras_deeplab as kd
from keras_deeplab.cli.arguments import open_dataset
from keras_deeplab.data.synthetic import WEATHERS, StreetScenes
from keras_deeplab.data.writers import write_file
from keras_deeplab.hub.cards import model_card
from keras_deeplab.hub.preset_files import METADATA_FILE, read_json
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor

SETTINGS = tomllib.loads(pathlib.Path(__file__).with_name("embedded_presets.toml").read_text("utf-8"))
# Half of the scenes are in the weather that scenes have when nothing is said, half in any.
WEATHER = ("fair",) * (len(WEATHERS) - 2) + WEATHERS
METRICS = {"PQ": "pq", "PQ things": "pq_things", "PQ stuff": "pq_stuff", "mIoU": "miou"}


def build_model(label_space, image_size):
    """The network of both presets: the backbone's features are projected, without atrous convolutions."""
    backbone = kd.MobileNetV3Backbone.from_variant("mobilenet_v3_small", image_shape=(*image_size, 3))
    return kd.PanopticDeepLab(
        backbone,
        label_space,
        atrous_rates=(),
        aspp_filters=128,
        semantic_filters=128,
        instance_filters=96,
        semantic_low_levels=(32, 24),
        instance_low_levels=(24, 16),
        preprocessor=kd.models.SegmenterPreprocessor(image_size, resize="fit"),
    )


def open_training_data(name, data, work):
    """CamVid, or rendered scenes."""
    if data is not None:
        return kd.data.CamVid(data, "train")
    settings = SETTINGS[name]
    scenes = StreetScenes(settings["scenes"], settings["scene_size"], seed=settings["seed"], weather=WEATHER)
    return RenderedScenes(scenes, work / name / f"scenes_{len(scenes)}")


def train_stage(recipe, source, label_space, reader, seed, folder):
    """Trains one stage from the preset `source`, or from new weights, and saves it in `folder`."""
    keras.utils.set_random_seed(seed)
    if source is None:
        model = build_model(label_space, recipe.image_size)
    else:
        shape = (*recipe.image_size, 3)
        model = kd.PanopticDeepLab.from_preset(source, label_space=label_space, image_shape=shape)
    model.compile(**recipe.compile_arguments())
    pipeline = kd.data.Pipeline(reader, seed=seed, **recipe.pipeline_arguments())
    kd.train(model, pipeline, recipe.num_batches, folder, checkpoint_minutes=3)
    model.save_to_preset(folder)


def train_stages(name, data, work):
    """Trains the stages of a preset one after the other; returns the folder of the last one."""
    settings = SETTINGS[name]
    source = settings.get("start")
    reader = open_training_data(name, data, work)
    for number, stage in enumerate(settings["stages"]):
        folder = work / name / f"stage{number + 1}"
        if not (folder / "config.json").exists():
            fields = {**settings.get("all_stages", {}), **stage}
            repeats = fields.pop("repeats", {})
            samples = RepeatedScenes(reader, repeats) if repeats else reader
            recipe = kd.Recipe(name=f"{name}, stage {number + 1}", **fields)
            train_stage(recipe, source, settings["label_space"], samples, settings["seed"] + number, folder)
        source = folder
    return source


def save(name, trained, output):
    """Writes the preset at its own size and in half precision."""
    settings = SETTINGS[name]
    model = kd.PanopticDeepLab.from_preset(trained, image_shape=(*settings["image_size"], 3))
    model.postprocessor = PanopticPostprocessor.from_label_space(
        model.label_space, **settings["postprocessor"]
    )
    model.save_to_preset(output, weights_dtype="float16")


def describe(name, data, output):
    """Measures the saved preset, and writes what is known about it: metadata and card."""
    settings = SETTINGS[name]
    where = {"data": data, **settings["evaluation"]}
    model = kd.Segmenter.from_preset(output)
    results = kd.evaluate(model, open_dataset(where["data"], where["split"]))
    facts = {
        **settings["facts"],
        "metrics": [
            {"metric": metric, "value": round(100 * results[key], 1), "evaluator": "deeplab2"}
            for metric, key in METRICS.items()
        ],
        "eval_split": f"{where['split']}, {results['images']} images",
        "training": {
            "seed": settings["seed"],
            "steps": sum(stage["steps"] for stage in settings["stages"]),
            "images": sum(stage["steps"] * stage["batch_size"] for stage in settings["stages"]),
            **({"pretraining": settings["start"]} if "start" in settings else {}),
        },
    }
    metadata = {**read_json(output / METADATA_FILE), **facts}
    write_file(output / METADATA_FILE, (json.dumps(metadata, indent=2) + "\n").encode())
    write_file(output / "README.md", model_card(output, f"keras-deeplab/{name}").encode())
    print(json.dumps(facts, indent=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--data", help="folder of CamVid")
    parser.add_argument("--output", type=pathlib.Path, help="default: presets/NAME")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/embedded_presets"))
    arguments = parser.parse_args()
    if ("data" in SETTINGS[arguments.name]["evaluation"]) != (arguments.data is None):
        parser.error("--data is for street_camvid, which needs it.")

    output = arguments.output or pathlib.Path("presets") / arguments.name
    trained = train_stages(arguments.name, arguments.data, arguments.work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{used.ru_utime + used.ru_stime:.0f} seconds of processor time")
    save(arguments.name, trained, output)
    describe(arguments.name, arguments.data, output)


if __name__ == "__main__":
    main()
