"""Position-sensitive attention along one axis, along both, or over the whole map.

Wang et al. 2020, "Axial-DeepLab" (arXiv 2003.07853), section 3.
"""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.batch_norm import BatchNormalization
from keras_deeplab.layers.initializers import ScaledNormal
from keras_deeplab.ops.relative_position import distance_rows, distances_to_keys, keys_to_distances

# Distances from -254 to 254, as in the published weights. Distances beyond take the outermost rows.
TABLE_LENGTH = 509
ACTIVATIONS = ("softmax", "sigmoid")


@keras.saving.register_keras_serializable(package="keras_deeplab")
class AxialAttention(keras.layers.Layer):
    """Multi-head attention along a sequence: (n, l, c) -> (n, l, value_depth).

    Similarity is a sum of up to three terms, each batch-normalised per head: content (query times key),
    query position (query times a vector of the distance) and key position. Retrieved are values, and
    vectors of the distance. There is no scaling by the depth and no output projection.

    Args:
        key_depth: int. Channels of all heads' queries, and of their keys.
        value_depth: int. Channels of all heads' values, and of the output.
        heads: int.
        content: bool. Use the content similarity.
        query_position: bool. Use the similarity of queries to distances.
        key_position: bool. Use the similarity of keys to distances.
        value_content: bool. Retrieve values.
        value_position: bool. Retrieve vectors of the distance.
        activation: str. `"softmax"` over the keys, or `"sigmoid"`.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    AxialAttention(64, 128)(keras.ops.ones((2, 33, 96))).shape  # (2, 33, 128)
    ```
    """

    def __init__(
        self,
        key_depth: int,
        value_depth: int,
        heads: int = 8,
        content: bool = True,
        query_position: bool = True,
        key_position: bool = True,
        value_content: bool = True,
        value_position: bool = True,
        activation: str = "softmax",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if key_depth % heads or value_depth % heads:
            raise ValueError(
                f"`key_depth` and `value_depth` must be multiples of `heads` = {heads}. "
                f"Received: {key_depth} and {value_depth}"
            )
        if not (content or query_position or key_position) or not (value_content or value_position):
            raise ValueError("Attention needs at least one similarity and one value to retrieve.")
        if activation not in ACTIVATIONS:
            raise ValueError(f"`activation` must be one of {ACTIVATIONS}. Received: {activation!r}")
        self.key_depth = key_depth
        self.value_depth = value_depth
        self.heads = heads
        self.content = content
        self.query_position = query_position
        self.key_position = key_position
        self.value_content = value_content
        self.value_position = value_position
        self.activation = activation
        self._normalization = {
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }

        def normalize(axis, name, dtype):
            return BatchNormalization(axis, batch_norm_momentum, batch_norm_epsilon, name=name, dtype=dtype)

        self.batch_norm_qkv = normalize(-1, "batch_norm_qkv", self.dtype_policy)
        # Moments per term and head: a softmax needs more digits than half precision has.
        self.batch_norm_similarity = normalize((0, 2), "batch_norm_similarity", "float32")
        self.batch_norm_retrieved = normalize((0, 2, 4), "batch_norm_retrieved", self.dtype_policy)

    def build(self, input_shape):
        n, length, channels = input_shape
        uses_positions = self.query_position or self.key_position or self.value_position
        if uses_positions and length is None:
            raise ValueError(
                "Attention with positions needs a fixed length. Give the backbone an `image_shape` with "
                "height and width."
            )
        self.qkv_kernel = self.add_weight(
            name="qkv_kernel",
            shape=(channels, 2 * self.key_depth + self.value_depth),
            initializer=ScaledNormal(channels**-0.5),
        )
        self.batch_norm_qkv.build((n, length, self.qkv_kernel.shape[-1]))
        self.query_position_table = self._add_table("query", self.query_position, self.key_depth)
        self.key_position_table = self._add_table("key", self.key_position, self.key_depth)
        self.value_position_table = self._add_table("value", self.value_position, self.value_depth)
        terms = self.content + self.query_position + self.key_position
        self.batch_norm_similarity.build((terms, n, self.heads, length, length))
        retrieved = self.value_content + self.value_position
        self.batch_norm_retrieved.build((retrieved, n, self.heads, length, self.value_depth // self.heads))

    def _add_table(self, name, is_used, depth):
        if not is_used:
            return None
        return self.add_weight(
            name=f"{name}_position_table",
            shape=(TABLE_LENGTH, depth // self.heads),
            initializer=ScaledNormal(1.0),
        )

    def call(self, inputs, training=None):
        qkv = self.batch_norm_qkv(ops.matmul(inputs, self.qkv_kernel), training=training)
        query, key, value = (
            self._split_heads(part) for part in ops.split(qkv, (self.key_depth, 2 * self.key_depth), axis=-1)
        )
        similarities = self.batch_norm_similarity(
            ops.cast(ops.stack(self._similarities(query, key)), "float32"), training=training
        )
        similarity = ops.sum(similarities, axis=0)
        weights = (ops.softmax if self.activation == "softmax" else ops.sigmoid)(similarity)
        retrieved = ops.stack(self._retrieve(ops.cast(weights, value.dtype), value))
        x = ops.sum(self.batch_norm_retrieved(retrieved, training=training), axis=0)
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (*_sizes(inputs)[:2], self.value_depth))

    def _split_heads(self, x):
        """(n, l, c) -> (n, heads, l, c / heads)."""
        n, length, channels = _sizes(x)
        x = ops.reshape(x, (n, length, self.heads, channels // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def _similarities(self, query, key):
        """The terms that are switched on, each (n, heads, queries, keys)."""
        terms = []
        if self.content:
            terms.append(ops.matmul(query, ops.swapaxes(key, -1, -2)))
        if self.query_position:
            rows = self._rows(self.query_position_table, query)
            terms.append(distances_to_keys(ops.matmul(query, ops.transpose(rows))))
        if self.key_position:
            # From the key's side distances run backwards, and its "keys" are the queries.
            rows = ops.flip(self._rows(self.key_position_table, key), axis=0)
            terms.append(ops.swapaxes(distances_to_keys(ops.matmul(key, ops.transpose(rows))), -1, -2))
        return terms

    def _retrieve(self, weights, value):
        """What is retrieved, each (n, heads, queries, value_depth / heads)."""
        retrieved = []
        if self.value_content:
            retrieved.append(ops.matmul(weights, value))
        if self.value_position:
            rows = self._rows(self.value_position_table, value)
            retrieved.append(ops.matmul(keys_to_distances(weights), rows))
        return retrieved

    def _rows(self, table, sequence):
        """Rows of a table for all distances in the sequence, (2l - 1, depth)."""
        length = sequence.shape[-2]
        if 2 * length - 1 <= TABLE_LENGTH:
            first = TABLE_LENGTH // 2 - (length - 1)
            rows = table[first : first + 2 * length - 1]
        else:
            rows = ops.take(table, distance_rows(length, TABLE_LENGTH), axis=0)
        return ops.cast(rows, sequence.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.value_depth)

    def get_config(self):
        names = (
            "key_depth", "value_depth", "heads", "content", "query_position", "key_position",
            "value_content", "value_position", "activation",
        )  # fmt: skip
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            **self._normalization,
        }


@keras.saving.register_keras_serializable(package="keras_deeplab")
class AxialAttention2D(keras.layers.Layer):
    """Attention along columns, then along rows: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), value depth).

    Args:
        filters: int. Base width.
        key_expansion: int. Channels of queries and keys, in base widths.
        value_expansion: int. Channels of values and of the output, in base widths.
        heads: int.
        strides: int. Step of the output grid; all places are attended to.
        activation: str or `None`. Applied to the output.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    AxialAttention2D(64, strides=2)(keras.ops.ones((1, 17, 33, 128))).shape  # (1, 9, 17, 128)
    ```
    """

    def __init__(
        self,
        filters: int,
        key_expansion: int = 1,
        value_expansion: int = 2,
        heads: int = 8,
        strides: int = 1,
        activation: str | None = None,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "filters": filters,
            "key_expansion": key_expansion,
            "value_expansion": value_expansion,
            "heads": heads,
            "strides": strides,
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        self.strides = strides
        self._activation = keras.activations.get(activation)
        self.height_axis, self.width_axis = (
            AxialAttention(
                filters * key_expansion,
                filters * value_expansion,
                heads,
                batch_norm_momentum=batch_norm_momentum,
                batch_norm_epsilon=batch_norm_epsilon,
                dtype=self.dtype_policy,
                name=name,
            )
            for name in ("height_axis", "width_axis")
        )

    def build(self, input_shape):
        _, h, w, c = input_shape
        self.height_axis.build((None, h, c))
        self.width_axis.build((None, w, self.height_axis.value_depth))

    def call(self, inputs, training=None):
        x = ops.transpose(inputs, (0, 2, 1, 3))
        x = _attend_rows(self.height_axis, x, training)[:, :, :: self.strides]
        x = ops.transpose(x, (0, 2, 1, 3))
        x = _attend_rows(self.width_axis, x, training)[:, :, :: self.strides]
        return self._activation(x)

    def compute_output_shape(self, input_shape):
        b, h, w, _ = input_shape
        return (b, -(-h // self.strides), -(-w // self.strides), self.width_axis.value_depth)

    def get_config(self):
        return {**super().get_config(), **self.options}


@keras.saving.register_keras_serializable(package="keras_deeplab")
class GlobalAttention2D(keras.layers.Layer):
    """Attention between all pixels: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), value depth).

    Without positions; see `layers/positional_encoding.py`.

    Args:
        filters: int. Base width.
        key_expansion: int. Channels of queries and keys, in base widths.
        value_expansion: int. Channels of values and of the output, in base widths.
        heads: int.
        strides: int. Step of the output grid; all places are attended to.
        double: bool. Attend a second time.
        activation: str or `None`. Applied to the output.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    GlobalAttention2D(64)(keras.ops.ones((1, 9, 17, 128))).shape  # (1, 9, 17, 128)
    ```
    """

    def __init__(
        self,
        filters: int,
        key_expansion: int = 1,
        value_expansion: int = 2,
        heads: int = 8,
        strides: int = 1,
        double: bool = False,
        activation: str | None = None,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "filters": filters,
            "key_expansion": key_expansion,
            "value_expansion": value_expansion,
            "heads": heads,
            "strides": strides,
            "double": double,
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        self.strides = strides
        self._activation = keras.activations.get(activation)
        self.attentions = [
            AxialAttention(
                filters * key_expansion,
                filters * value_expansion,
                heads,
                query_position=False,
                key_position=False,
                value_position=False,
                batch_norm_momentum=batch_norm_momentum,
                batch_norm_epsilon=batch_norm_epsilon,
                dtype=self.dtype_policy,
                name=f"attention{number}",
            )
            for number in range(1, 2 + double)
        ]

    def build(self, input_shape):
        channels = input_shape[-1]
        for attention in self.attentions:
            attention.build((None, None, channels))
            channels = attention.value_depth

    def call(self, inputs, training=None):
        b, h, w, c = _sizes(inputs)
        x = ops.reshape(inputs, (b, h * w, c))
        for attention in self.attentions:
            x = attention(x, training=training)
        x = ops.reshape(x, (b, h, w, x.shape[-1]))
        return self._activation(x[:, :: self.strides, :: self.strides])

    def compute_output_shape(self, input_shape):
        b, h, w, _ = input_shape
        size = (None if n is None else -(-n // self.strides) for n in (h, w))
        return (b, *size, self.attentions[-1].value_depth)

    def get_config(self):
        return {**super().get_config(), **self.options}


def _attend_rows(attention, x, training):
    """Attends along the third axis of (b, rows, places, c), every row on its own."""
    b, rows, places, c = _sizes(x)
    x = attention(ops.reshape(x, (b * rows, places, c)), training=training)
    return ops.reshape(x, (b, rows, places, x.shape[-1]))


def _sizes(x):
    """All sizes, static where known."""
    return tuple(s if s is not None else d for s, d in zip(x.shape, ops.shape(x), strict=True))
