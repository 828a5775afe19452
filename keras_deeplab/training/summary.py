"""What a training run costs, before it starts: parameters, operations, memory."""

from __future__ import annotations

import contextlib
import math

import keras
import numpy as np

from keras_deeplab.data.pipeline import Pipeline


def count_flops(model: keras.Model, image_shape: tuple[int, int, int] | None = None) -> int:
    """Floating-point operations of one image's forward pass through the convolutions and dense layers.

    A multiplication and an addition are two operations. In these layers every entry of a kernel is used once
    at every place of the output, which holds for depthwise, grouped and atrous kernels too. What uses a
    kernel otherwise or has none (transposed convolutions, products of attention, normalisation, resizing) is
    not counted right, or not at all.

    Args:
        model: built model.
        image_shape: `(height, width, channels)`; that of the model when `None`.

    Returns:
        int.

    Raises:
        ValueError: when no shape is given and the model takes images of any size.

    Example:
    ```python
    count_flops(kd.PanopticDeepLab.from_preset("resnet50_os32_cityscapes", load_weights=False)) / 1e9
    ```
    """
    return sum(
        2 * math.prod(kernel.shape) * math.prod(output.shape[1:-1])
        for layer, output in _trace(model, image_shape)
        for kernel in _own_kernels(layer)
    )


def estimate_memory(
    model: keras.Model, batch_size: int, image_shape: tuple[int, int, int] | None = None
) -> dict[str, int]:
    """Bytes of memory that a training step needs, estimated.

    The activations are the outputs of all layers. Backends drop some of them, keep inner values of layers and
    losses, and add workspaces. Panoptic-DeepLab at 257x513, batches of 2, on torch and a processor: what the
    backward pass kept was 0.51 GiB with MobileNetV3-Small (estimated: 0.50) and 1.08 GiB with ResNet-50
    (1.12); the process grew by 0.74 and 1.55 GiB in its first step (all but the weights: 0.61 and 1.73).

    Args:
        model: compiled model.
        batch_size: int.
        image_shape: `(height, width, channels)`; that of the model when `None`.

    Returns:
        dict with `"weights"`, `"gradients"`, `"optimizer"`, `"activations"` and their sum `"total"`.

    Raises:
        ValueError: when no shape is given and the model takes images of any size.

    Example:
    ```python
    estimate_memory(model, batch_size=8)["total"] / 2**30
    ```
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # A layer often hands on what an inner one made.
    outputs = {id(output): output for _, output in _trace(model, image_shape)}
    activations = _size(outputs.values())
    parts = {
        "weights": _size(model.weights),
        "gradients": _size(model.trainable_weights),
        "optimizer": _size(model.optimizer.variables),
        "activations": activations * batch_size,
    }
    return {**parts, "total": sum(parts.values())}


def training_summary(model: keras.Model, pipeline: Pipeline, steps: int) -> str:
    """A few lines about a run.

    Args:
        model: compiled model.
        pipeline: `data.Pipeline`.
        steps: int. Length of the run.

    Returns:
        str.

    Example:
    ```python
    print(training_summary(model, train, steps=60_000))
    ```
    """
    shape = (*pipeline.image_size, model.input_shape[-1])
    memory = estimate_memory(model, pipeline.batch_size, shape)
    images, batch = pipeline.num_samples, pipeline.batch_size
    height, width = pipeline.image_size
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_weights)
    rows = {
        "model": f"{type(model).__name__} on {keras.backend.backend()}",
        "parameters": f"{model.count_params():,} ({trainable:,} trained)",
        "operations": f"{count_flops(model, shape) / 1e9:.2f} GFLOP per image, forward, of {height}x{width}",
        "memory": f"about {memory['total'] / 2**30:.1f} GiB a step, "
        f"{memory['activations'] / 2**30:.1f} of it activations",
        "data": f"{images:,} images per epoch, {pipeline.steps_per_epoch:,} batches of {batch}",
        "steps": f"{steps:,}, {steps * batch / images:.1f} epochs",
    }
    return "\n".join(f"{name:<12}{text}" for name, text in rows.items())


class _Probe(keras.layers.Layer):
    """Calls a model as it trains, with no numbers: Keras asks it for the shape of its output alone."""

    def __init__(self, model):
        super().__init__()
        self._call_model = lambda images: model(images, training=True)

    def call(self, images):
        return self._call_model(images)


def _trace(model, image_shape):
    """`(layer, output)` for every output of every call of a layer, for one image: tensors without numbers."""
    shape = tuple(image_shape or model.input_shape[1:])
    if None in shape:
        raise ValueError(f"The model takes images of any size. Pass `image_shape`. Received: {shape}")
    calls = []
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers(include_self=False):
            if not isinstance(layer, keras.layers.InputLayer):
                stack.enter_context(_recorded(layer, calls))
        _Probe(model)(keras.KerasTensor((1, *shape), dtype="float32"))
    return calls


@contextlib.contextmanager
def _recorded(layer, calls):
    call = layer.call

    def recorded_call(*args, **kwargs):
        outputs = call(*args, **kwargs)
        for output in keras.tree.flatten(outputs):
            if keras.ops.is_tensor(output):
                calls.append((layer, output))
        return outputs

    layer.call = recorded_call
    try:
        yield
    finally:
        del layer.call


def _own_kernels(layer):
    others = layer._flatten_layers(include_self=False, recursive=False)
    inner = {id(variable) for other in others for variable in other.weights}
    return [v for v in layer.weights if "kernel" in v.name and id(v) not in inner]


def _size(arrays):
    """Bytes of variables or tensors."""
    dtypes = ((array, keras.backend.standardize_dtype(array.dtype)) for array in arrays)
    return sum(
        math.prod(a.shape) * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize) for a, dtype in dtypes
    )
