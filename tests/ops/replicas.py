"""Normalises the two halves of a batch on two devices; run by `test_batch_normalization.py`.

    KERAS_BACKEND=... python -m tests.ops.replicas RESULT.npz

Writes the output, the gradient of the sum of its cubes, and the moving averages after one step.
"""

import os
import sys

import numpy as np

AXIS = (0, 2)
MOMENTUM = 0.8


def batch():
    """Values whose halves differ in mean and spread, so that their own moments would show."""
    x = np.random.default_rng(0).normal(size=(3, 8, 4, 5)).astype("float32")
    x[:, 4:] = 3 * x[:, 4:] + 2
    return x


def make_layer():
    """A built layer without a batch axis among its own."""
    from keras_deeplab.layers.batch_norm import BatchNormalization

    layer = BatchNormalization(AXIS, momentum=MOMENTUM)
    layer.build(batch().shape)
    return layer


def on_tensorflow():
    """Two replicas of a mirrored strategy."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = make_layer()

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y**3)
        return y, tape.gradient(loss, x)

    halves = np.split(batch(), 2, axis=1)
    x = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )
    y, gradient = (
        np.concatenate([r.numpy() for r in strategy.experimental_local_results(v)], axis=1)
        for v in strategy.run(step, (x,))
    )
    return y, gradient, layer


def on_jax():
    """One array on two devices."""
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    layer = make_layer()
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("batch",)), PartitionSpec(None, "batch"))
    trainable = [v.value for v in layer.trainable_variables]
    averages = [v.value for v in layer.non_trainable_variables]

    @jax.jit
    def step(x):
        def loss(x):
            y, updated = layer.stateless_call(trainable, averages, x, training=True)
            return (y**3).sum(), (y, updated)

        return jax.grad(loss, has_aux=True)(x)

    gradient, (y, updated) = step(jax.device_put(batch(), sharding))
    assert len(y.sharding.device_set) == 2
    for variable, value in zip(layer.non_trainable_variables, updated, strict=True):
        variable.assign(value)
    return np.asarray(y), np.asarray(gradient), layer


def torch_process(rank, port, path):
    """One of the two processes; each writes its half."""
    import torch

    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    layer = make_layer()
    x = torch.tensor(np.split(batch(), 2, axis=1)[rank], requires_grad=True)
    y = layer(x, training=True)
    (gradient,) = torch.autograd.grad((y**3).sum(), x)
    torch.distributed.destroy_process_group()
    save(f"{path}.{rank}.npz", y.detach().numpy(), gradient.numpy(), layer)


def on_torch(path):
    """Two processes."""
    import socket

    import torch

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(torch_process, (port, path), nprocs=2)
    parts = [np.load(f"{path}.{rank}.npz") for rank in range(2)]
    for name in ("mean", "variance"):
        np.testing.assert_allclose(parts[0][name], parts[1][name], rtol=1e-6)
    joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in ("y", "gradient")}
    np.savez(path, **joined, mean=parts[0]["mean"], variance=parts[0]["variance"])


def save(path, y, gradient, layer):
    """Writes what a run gave."""
    from keras import ops

    mean, variance = (ops.convert_to_numpy(v) for v in (layer.moving_mean, layer.moving_variance))
    np.savez(path, y=y, gradient=gradient, mean=mean, variance=variance)


def main(path):
    """Runs the backend's way."""
    backend = os.environ["KERAS_BACKEND"]
    if backend == "torch":
        on_torch(path)
    else:
        save(path, *{"tensorflow": on_tensorflow, "jax": on_jax}[backend]())


if __name__ == "__main__":
    main(sys.argv[1])
