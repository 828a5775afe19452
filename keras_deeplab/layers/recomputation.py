"""Runs a layer without keeping what its gradient needs.

Keras' own `RematScope` fails around batch normalisation, which assigns moving averages: here these come
out of the recomputed function as results, and are assigned once, outside of it.
"""

from __future__ import annotations

from keras import StatelessScope, ops

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
    trainable, averages = layer.trainable_variables, layer.non_trainable_variables
    variables = [*trainable, *averages]
    count = len(inputs)

    def pure(*tensors):
        with StatelessScope(state_mapping=list(zip(variables, tensors[count:], strict=True))) as scope:
            output = function(*tensors[:count])
        return [output, *(scope.get_current_value(variable) for variable in averages)]

    # Copies of the averages: torch assigns in place, and would miss the values that it is to use again.
    values = [
        *(variable.value for variable in trainable),
        *(ops.copy(variable.value) for variable in averages),
    ]
    output, *updated = recompute(pure)(*inputs, *values)
    for variable, value in zip(averages, updated, strict=True):
        variable.assign(value)
    return output
