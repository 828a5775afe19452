"""The deterministic weights with which DeepLab2 computed the goldens.

Every variable is a function of its checkpoint key and shape: standard normal numbers drawn from a
generator seeded with the key's checksum, scaled so that activations stay of order one.
"""

import re
import zlib

import numpy as np

# Normalisations that end a residual branch start small, so that deep networks do not blow up.
_RESIDUAL_END = re.compile(r"(_memory|_memory_ffn|_pixel|_kmeans_memory|)_conv[23]_bn/_batch_norm/gamma$")


def reference_weight(key, shape):
    """float32 array for a DeepLab2 checkpoint key."""
    key = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    leaf = key.rsplit("/", 1)[-1]
    if leaf == "moving_variance":
        value = np.exp(0.2 * noise)
    elif leaf == "gamma":
        value = _gamma_scale(key) * (1 + 0.1 * noise)
    elif leaf == "depthwise_kernel":
        value = noise * np.sqrt(2 / (shape[0] * shape[1]))
    elif leaf == "kernel":
        value = noise * np.sqrt(2 / np.prod(shape[:-1]))
    else:
        value = 0.1 * noise
    return value.astype(np.float32)


def reference_checkpoint(manifest):
    """Dict from key to array for every variable of a manifest's checkpoint."""
    return {key: reference_weight(key, shape) for key, shape, _ in manifest["checkpoint"]}


def _gamma_scale(key):
    if not _RESIDUAL_END.search(key) or key.startswith("encoder/_blocks/"):
        return 1.0
    block = re.search(r"/_block(\d+)/", key)
    return 0.1 if block and int(block[1]) >= 7 else 0.25
