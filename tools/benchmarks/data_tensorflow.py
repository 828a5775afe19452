"""The work of `data.py` in tf.data, with TensorFlow's own operations."""

import numpy as np
import tensorflow as tf
from data import SCALES, targets_of

from keras_deeplab.data.autoaugment import POLICIES

TARGETS = {
    "semantic": (tf.int32, 2),
    "semantic_weight": (tf.float32, 2),
    "center_heatmap": (tf.float32, 3),
    "center_weight": (tf.float32, 2),
    "center_offset": (tf.float32, 3),
    "offset_weight": (tf.float32, 2),
}


def batches(image_paths, label_paths, size, batch_size, threads):
    """Iterator over batches."""
    frames = tf.data.Dataset.from_tensor_slices((image_paths, label_paths))
    frames = frames.shuffle(len(image_paths)).repeat()
    frames = frames.map(lambda image, label: prepare(image, label, size), num_parallel_calls=threads)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return iter(frames.batch(batch_size).prefetch(1).with_options(options))


def prepare(image_path, label_path, size):
    image = tf.io.decode_png(tf.io.read_file(image_path), channels=3)
    label = tf.io.decode_png(tf.io.read_file(label_path), channels=1, dtype=tf.uint16)
    scale = tf.random.uniform([], SCALES[0], SCALES[1])
    scaled = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scale, tf.int32)
    image = tf.image.resize(image, scaled)
    label = tf.image.resize(label, scaled, method="nearest")
    image, label = pad_and_crop(image, label, size)
    image = change_colors(tf.cast(image, tf.uint8))
    if tf.random.uniform([]) < 0.5:
        image, label = tf.image.flip_left_right(image), tf.image.flip_left_right(label)
    found = tf.numpy_function(
        lambda ids: list(targets_of(ids[..., 0].astype(np.int32)).values()),
        [label],
        [dtype for dtype, _ in TARGETS.values()],
    )
    targets = dict(zip(TARGETS, found, strict=True))
    for name, (_, rank) in TARGETS.items():
        targets[name].set_shape([*size, {"center_heatmap": 1, "center_offset": 2}.get(name)][:rank])
    return tf.cast(image, tf.float32) / 127.5 - 1, targets


def pad_and_crop(image, label, size):
    height, width = tf.maximum(tf.shape(image)[0], size[0]), tf.maximum(tf.shape(image)[1], size[1])
    image = tf.image.pad_to_bounding_box(image - 127.5, 0, 0, height, width) + 127.5
    label = tf.image.pad_to_bounding_box(label, 0, 0, height, width)
    top = tf.random.uniform([], 0, height - size[0] + 1, tf.int32)
    left = tf.random.uniform([], 0, width - size[1] + 1, tf.int32)
    return (tf.image.crop_to_bounding_box(each, top, left, *size) for each in (image, label))


def change_colors(image):
    policy = POLICIES["simple_classification"]
    branches = [lambda steps=steps: apply_steps(image, steps) for steps in policy]
    return tf.switch_case(tf.random.uniform([], 0, len(policy), tf.int32), branches)


def apply_steps(image, steps):
    for name, probability, magnitude in steps:
        if tf.random.uniform([]) < probability:
            image = OPERATIONS[name](image, magnitude / 10 * 1.8 + 0.1, magnitude)
    return image


def blend(start, image, strength):
    start, image = tf.cast(start, tf.float32), tf.cast(image, tf.float32)
    return tf.cast(tf.clip_by_value(start + strength * (image - start), 0, 255), tf.uint8)


def sharpen(image, strength, _):
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32)[:, :, None, None] / 13
    pixels = tf.cast(image, tf.float32)[None]
    smooth = tf.nn.depthwise_conv2d(pixels, tf.tile(kernel, [1, 1, 3, 1]), [1, 1, 1, 1], "SAME")
    return blend(smooth[0], image, strength)


def saturate(image, strength, _):
    return blend(tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image)), image, strength)


def equalize(image, *_):
    def equalize_channel(channel):
        histogram = tf.histogram_fixed_width(channel, [0, 255], nbins=256)
        step = tf.maximum((tf.size(channel) - histogram[-1]) // 255, 1)
        table = tf.clip_by_value((tf.cumsum(histogram, exclusive=True) + step // 2) // step, 0, 255)
        return tf.cast(tf.gather(table, channel), tf.uint8)

    channels = tf.unstack(tf.cast(image, tf.int32), axis=-1)
    return tf.stack([equalize_channel(channel) for channel in channels], axis=-1)


OPERATIONS = {
    "Sharpness": sharpen,
    "Brightness": lambda image, strength, _: blend(tf.zeros_like(image), image, strength),
    "Contrast": lambda image, strength, _: blend(
        tf.fill(tf.shape(image), tf.constant(128, tf.uint8)), image, strength
    ),
    "Color": saturate,
    "Solarize": lambda image, _, magnitude: tf.where(image < int(magnitude / 10 * 256), image, 255 - image),
    "Equalize": equalize,
}
