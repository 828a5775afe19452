"""The deterministic weights with which DeepLab2 computed the goldens.

Every variable is a function of its checkpoint key and shape: standard normal numbers drawn from a
generator seeded with the key's checksum, scaled so that activations stay of order one.
"""

import re
import zlib
from collections.abc import Mapping

import numpy as np

# Scales of normalisations' gamma by the key's end, first match wins; deep networks and softmaxes would blow
# up otherwise.
_GAMMA_SCALES = [
    (r"/_batch_norm_similarity/gamma$", 0.15),
    (r"/_batch_norm_qkv/gamma$", 0.7),
    (r"^encoder/_blocks/", 1.0),
    (r"/_block([7-9]|\d\d+)/_conv[23]_bn/_batch_norm/gamma$", 0.1),
    (r"/_conv[23]_bn/_batch_norm/gamma$", 0.25),
    (r"^encoder/.*_resized_fuse/", 0.4),
]
# The same for kernels: the switch of a switchable convolution, and its global contexts.
_KERNEL_SCALES = [(r"/_switch/kernel$", 0.03), (r"_global_context/convolution/kernel$", 0.3)]


def reference_weight(key, shape):
    """float32 array for a DeepLab2 checkpoint key."""
    key = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    leaf = key.rsplit("/", 1)[-1]
    if leaf == "moving_variance":
        value = np.exp(0.2 * noise)
    elif leaf == "gamma":
        value = _scale(key, _GAMMA_SCALES) * (1 + 0.1 * noise)
    elif leaf == "embeddings":
        value = 0.5 * noise
    elif leaf == "depthwise_kernel":
        value = noise * np.sqrt(2 / (shape[0] * shape[1]))
    elif leaf in ("kernel", "qkv_kernel"):
        value = _scale(key, _KERNEL_SCALES) * noise * np.sqrt(2 / np.prod(shape[:-1]))
    else:
        value = 0.1 * noise
    return value.astype(np.float32)


class ReferenceCheckpoint(Mapping):
    """A manifest's checkpoint, made key by key: the largest has 572 million parameters."""

    def __init__(self, manifest):
        self.shapes = {key: tuple(shape) for key, shape, _ in manifest["checkpoint"]}

    def __getitem__(self, key):
        return reference_weight(key, self.shapes[key])

    def __iter__(self):
        return iter(self.shapes)

    def __len__(self):
        return len(self.shapes)


def reference_checkpoint(manifest):
    """Dict from key to array for every variable of a manifest's checkpoint."""
    return dict(ReferenceCheckpoint(manifest))


def _scale(key, scales):
    return next((scale for pattern, scale in scales if re.search(pattern, key)), 1.0)
