"""Trains the small preset that `keras-deeplab demo` uses, on rendered street scenes alone.

    python tools/train_demo_preset.py --output presets/street_demo

Panoptic-DeepLab with MobileNetV3-Small and narrow decoders at 129x257. About ten minutes on two cores. It
shows that everything works together: it knows rendered scenes only a little, and no photographs at all.
"""

import argparse
import json
import pathlib

import keras

import keras_deeplab as kd
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor

IMAGE_SIZE = (129, 257)


def build_model():
    """Decoders of a quarter of the published widths."""
    backbone = kd.MobileNetV3Backbone.from_variant("mobilenet_v3_small", image_shape=(*IMAGE_SIZE, 3))
    space = kd.CITYSCAPES
    postprocessor = PanopticPostprocessor(
        space.things, space.label_divisor, space.ignore_label, nms_kernel=7, top_k=200, stuff_area_limit=32
    )
    preprocessor = kd.models.SegmenterPreprocessor(IMAGE_SIZE, resize="fit")
    return kd.PanopticDeepLab(
        backbone,
        space,
        aspp_filters=64,
        semantic_filters=64,
        instance_filters=64,
        semantic_low_levels=(32, 16),
        instance_low_levels=(16, 8),
        postprocessor=postprocessor,
        preprocessor=preprocessor,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("presets/street_demo"))
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(arguments.seed)
    model = build_model()
    # Scenes are rendered anew for every sample, so each one is seen once.
    scenes = StreetScenes(arguments.steps * arguments.batch_size, image_size=IMAGE_SIZE, seed=arguments.seed)
    pipeline = kd.data.Pipeline(
        scenes, IMAGE_SIZE, arguments.batch_size, scales=(0.8, 1.6, 0.1), seed=arguments.seed
    )
    schedule = keras.optimizers.schedules.PolynomialDecay(
        arguments.learning_rate, arguments.steps, 1e-6, power=0.9
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule, clipnorm=10.0))
    model.fit(pipeline, epochs=10, steps_per_epoch=arguments.steps // 10, verbose=2)
    model.save_to_preset(arguments.output, weights_dtype="float16")

    model = kd.PanopticDeepLab.from_preset(arguments.output)
    unseen = StreetScenes(100, image_size=IMAGE_SIZE, seed=arguments.seed + 1)
    results = kd.evaluate(model, unseen, batch_size=4, progress=False)
    print(json.dumps({key: results[key] for key in ("pq", "pq_things", "pq_stuff", "miou", "images")}))


if __name__ == "__main__":
    main()
