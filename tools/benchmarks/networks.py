"""The networks that the benchmarks time: ours, and peers of the same kind.

Every entry is a function of the image's size that returns a `Network`. Imports happen inside, so that a
row loads its own framework only.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable

import numpy as np

NUM_CLASSES = 19


@dataclasses.dataclass
class Network:
    """A built network, ready to be called.

    Args:
        forward: function of float32 images `[b, h, w, 3]` in [-1, 1] to heads, compiled where the backend
            compiles.
        step: function of images and labels int32 `[b, h, w]` that trains on them once.
        fit: function of images, labels and a number of steps that trains as a user would, on the same batch
            again and again; gives the seconds of every step.
        eager: the forward pass uncompiled, for counting its operations.
    """

    forward: Callable
    step: Callable
    fit: Callable
    eager: Callable


def panoptic_deeplab(variant, output_stride=32):
    """Panoptic-DeepLab on one of our backbones."""

    def build(size, **options):
        import keras_deeplab as kd

        options = {"output_stride": output_stride, **options}
        backbone = kd.Backbone.from_variant(variant, image_shape=(*size, 3), **options)
        return _keras_network(kd.PanopticDeepLab(backbone), _panoptic_targets)

    return build


def deeplab_v3_plus(size, **options):
    """DeepLabV3+ on ResNet-50 at output stride 16."""
    import keras_deeplab as kd

    backbone = kd.Backbone.from_variant("resnet50", output_stride=16, image_shape=(*size, 3), **options)
    return _keras_network(kd.DeepLabV3Plus(backbone), _semantic_targets)


def keras_hub_deeplab_v3(size):
    """keras-hub's DeepLabV3 on ResNet-50. It has no dilated backbone: its last stage has stride 32."""
    import keras
    import keras_hub

    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3], stackwise_num_strides=[1, 2, 2, 2], block_type="bottleneck_block",
        image_shape=(*size, 3),
    )  # fmt: skip
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder, spatial_pyramid_pooling_key="P5", low_level_feature_key="P2",
        upsampling_size=8, dilation_rates=[6, 12, 18], image_shape=(*size, 3),
    )  # fmt: skip
    model = keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes=NUM_CLASSES, preprocessor=None)
    # Its own choice of metrics fails on maps of classes.
    model.compile(
        keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[]
    )
    return _keras_network(model, lambda labels: labels)


def smp_deeplab_v3_plus(encoder):
    """segmentation_models.pytorch's DeepLabV3+ at output stride 16, in eager torch."""
    return lambda size: _torch_network(smp_model(encoder))


def smp_model(encoder, classes=NUM_CLASSES):
    """The network as a torch module, without pretraining."""
    import torch

    # Built for CUDA, torchvision cannot load its own operations beside a CPU build of torch, and then not
    # even be imported. The network needs none of them: their names are enough.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import segmentation_models_pytorch

    return segmentation_models_pytorch.DeepLabV3Plus(
        encoder, encoder_weights=None, encoder_output_stride=16, classes=classes
    )


# Those at the size of the published timings, then those beside the peers.
PANOPTIC = {
    "mobilenet_v3_small": panoptic_deeplab("mobilenet_v3_small"),
    "mobilenet_v3_large": panoptic_deeplab("mobilenet_v3_large"),
    "resnet50": panoptic_deeplab("resnet50"),
    "axial_swidernet_1_1_1": panoptic_deeplab("axial_swidernet_1_1_1", output_stride=16),
}
# segmentation_models.pytorch on the encoders of two of them: sides must be multiples of 16.
SMP = {
    "mobilenet_v3_small": smp_deeplab_v3_plus("tu-mobilenetv3_small_100"),
    "resnet50": smp_deeplab_v3_plus("resnet50"),
}
PEERS = {
    "deeplab_v3_plus": deeplab_v3_plus,
    "keras_hub": keras_hub_deeplab_v3,
    "smp": SMP["resnet50"],
}
NETWORKS = {**PANOPTIC, **PEERS, **{f"smp_{name}": build for name, build in SMP.items()}}
PANOPTIC_SIZE = (257, 513)
PEERS_SIZE = (512, 512)


def backends_of(name, installed):
    """Where a network runs."""
    return [b for b in installed if not name.startswith("smp") or b == "torch"]


def random_batch(count, size):
    """Images in [-1, 1] and labels, both of noise."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, *size, 3)).astype("float32")
    return images, rng.integers(0, NUM_CLASSES, (count, *size)).astype("int32")


def _torch_network(model):
    import torch

    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def forward(images):
        model.eval()
        with torch.no_grad():
            return model(torch.from_numpy(images.transpose(0, 3, 1, 2)))

    def step(images, labels):
        model.train()
        logits = model(torch.from_numpy(images.transpose(0, 3, 1, 2)))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def fit(images, labels, steps):
        laps = []
        for _ in range(steps):
            start = time.perf_counter()
            step(images, labels).item()
            laps.append(time.perf_counter() - start)
        return laps

    return Network(forward, step, fit, forward)


def _keras_network(model, make_targets):
    def step(images, labels):
        return model.train_on_batch(images, make_targets(labels))

    def fit(images, labels, steps):
        return _timed_fit(model, images, make_targets(labels), steps)

    return Network(_compiled_forward(model), step, fit, lambda images: model(images, training=False))


def _timed_fit(model, images, targets, steps):
    """Seconds of the steps of `model.fit`. Keras hands over a step's loss when the step is done."""
    import keras

    starts, ends = [], []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: starts.append(time.perf_counter()),
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()),
    )
    batches = ((images, targets) for _ in itertools.count())
    model.fit(batches, steps_per_epoch=steps, callbacks=[clock], verbose=0)
    return [end - start for start, end in zip(starts, ends, strict=True)]


def _compiled_forward(model):
    """The inference that `model.predict` compiles, without its copies to numpy and its progress bar."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        forward = tf.function(lambda images: model(images, training=False))
        return lambda images: forward(tf.constant(images))
    if keras.backend.backend() == "jax":
        import jax

        forward = jax.jit(lambda *args: model.stateless_call(*args, training=False)[0])
        return lambda images: forward(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            images,
        )

    def forward(images):
        import torch

        with torch.no_grad():
            return model(images, training=False)

    return forward


def _semantic_targets(labels):
    return {"semantic": labels}


def _panoptic_targets(labels):
    return {
        "semantic": labels,
        "semantic_weight": np.ones(labels.shape, "float32"),
        "center_heatmap": np.zeros((*labels.shape, 1), "float32"),
        "center_weight": np.ones(labels.shape, "float32"),
        "center_offset": np.zeros((*labels.shape, 2), "float32"),
        "offset_weight": np.ones(labels.shape, "float32"),
    }
