"""Runs a layer without keeping what its gradient needs.

Keras' own `RematScope` fails around batch normalisation, which assigns moving averages: here these come
out of the recomputed function as results, and are assigned once, outside of it.
"""

from __future__ import annotations

from keras import StatelessScope

from keras_deeplab.ops.recomputation import recompute


def call_recomputed(layer, function, *inputs):
    """Calls a function of a layer; its gradient computes the function a second time.

    Args:
        layer: built layer. Its variables, and those of its sub-layers, are all that `function` may use.
        function: takes the inputs and returns one tensor. It must not draw random numbers.
        *inputs: tensors.

    Returns:
        What `function(*inputs)` returns. Moving averages are updated once.

    Example:
    ```python
    call_recomputed(block, lambda x: block.convolution(x, training=True), images)
    ```
    """
    trainable = layer.trainable_variables
    averages = layer.non_trainable_variables
    count = len(inputs)
    fixed = [variable.value for variable in averages]

    def pure(*tensors):
        values = zip([*trainable, *averages], [*tensors[count:], *fixed], strict=True)
        with StatelessScope(state_mapping=list(values)) as scope:
            output = function(*tensors[:count])
        return [output, *(scope.get_current_value(variable) for variable in averages)]

    output, *updated = recompute(pure)(*inputs, *(variable.value for variable in trainable))
    for variable, value in zip(averages, updated, strict=True):
        variable.assign(value)
    return output
