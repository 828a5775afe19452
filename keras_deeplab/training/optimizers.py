"""Keras' Adam, AdamW and SGD with a learning rate of its own for the backbone.

What they add to Keras' optimizers is in `_ForSegmenters`; steps, speed and options are Keras'.
"""

from __future__ import annotations

import re

import keras

# Decay is for weights that multiply inputs: no biases, scales, shifts or tables of positions.
_DECAYED = re.compile(r"(kernel|weight)(:\d+)?$")
# Keras' own classes for the backend: on PyTorch the ones that update all variables at once.
_KERAS_ADAM = type(keras.optimizers.Adam())
_KERAS_SGD = type(keras.optimizers.SGD())


class _ForSegmenters:
    """Updates the backbone's variables with a multiple of the learning rate, and decays kernels alone.

    A learning-rate schedule counts updates: with `gradient_accumulation_steps`, not every batch.
    """

    def __init__(self, learning_rate, backbone_multiplier: float = 1.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if not backbone_multiplier >= 0:
            raise ValueError(f"`backbone_multiplier` must not be negative. Received: {backbone_multiplier}")
        self.backbone_multiplier = backbone_multiplier
        self._in_backbone = None

    def for_model(self, model):
        """Learns which variables belong to the model's backbone; `Segmenter.compile` calls it.

        Args:
            model: model with a `backbone`.

        Returns:
            The optimizer itself.
        """
        self._in_backbone = frozenset(self._var_key(variable) for variable in model.backbone.variables)
        return self

    def get_config(self):
        return {**super().get_config(), "backbone_multiplier": self.backbone_multiplier}

    def _get_current_learning_rate(self):
        if isinstance(self._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return self._learning_rate(self.iterations)
        return super()._get_current_learning_rate()

    def _use_weight_decay(self, variable):
        return bool(_DECAYED.search(variable.name)) and super()._use_weight_decay(variable)

    def _apply_weight_decay(self, variables):
        if not self.weight_decay:
            return
        weight_decay = self.weight_decay
        variables = [variable for variable in variables if self._use_weight_decay(variable)]
        try:
            for multiplier, places in self._groups(variables):
                # What is taken off is the learning rate times this.
                self.weight_decay = weight_decay * multiplier
                super()._apply_weight_decay([variables[i] for i in places])
        finally:
            self.weight_decay = weight_decay

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for multiplier, places in self._groups(trainable_variables):
            super()._backend_update_step(
                [grads[i] for i in places],
                [trainable_variables[i] for i in places],
                learning_rate if multiplier == 1 else learning_rate * multiplier,
            )

    def _groups(self, variables):
        """Multipliers of the learning rate, each with the places of the variables that have it."""
        if self.backbone_multiplier == 1:
            return [(1.0, range(len(variables)))] if variables else []
        if self._in_backbone is None:
            raise ValueError(
                f"An optimizer with backbone_multiplier={self.backbone_multiplier} must know the backbone. "
                "Compile a Segmenter with it, or call its `for_model(model)` first."
            )
        backbone, others = [], []
        for place, variable in enumerate(variables):
            (backbone if self._var_key(variable) in self._in_backbone else others).append(place)
        return [(m, p) for m, p in ((self.backbone_multiplier, backbone), (1.0, others)) if p]


@keras.saving.register_keras_serializable(package="keras_deeplab")
class Adam(_ForSegmenters, _KERAS_ADAM):
    """Keras' Adam (Kingma and Ba 2015, arXiv 1412.6980) with a learning rate of its own for the backbone.

    Args:
        learning_rate: float or Keras `LearningRateSchedule`, which counts updates.
        backbone_multiplier: float. The backbone's learning rate is this times the others'.
        **kwargs: as for `keras.optimizers.Adam`: `global_clipnorm`, `use_ema`,
            `gradient_accumulation_steps`, ...

    Raises:
        ValueError: if the multiplier is negative; or in training, if it is not 1 and the optimizer was not
            given to a `Segmenter`'s `compile`.

    Example:
    ```python
    model.compile(optimizer=Adam(5e-4, backbone_multiplier=0.1, global_clipnorm=10.0))
    ```
    """

    def __init__(self, learning_rate=0.001, backbone_multiplier: float = 1.0, **kwargs):
        super().__init__(learning_rate, backbone_multiplier, **kwargs)


@keras.saving.register_keras_serializable(package="keras_deeplab")
class AdamW(_ForSegmenters, _KERAS_ADAM):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101) of kernels.

    Before each update, `learning_rate * weight_decay` times themselves is taken off all variables whose name
    ends with "kernel" or "weight".

    Args:
        learning_rate: as for `Adam`.
        weight_decay: float.
        backbone_multiplier: as for `Adam`. It holds for the decay, too.
        **kwargs: as for `keras.optimizers.Adam`.

    Example:
    ```python
    model.compile(optimizer=AdamW(5e-4, weight_decay=0.05, backbone_multiplier=0.1))
    ```
    """

    def __init__(self, learning_rate=0.001, weight_decay: float = 0.05, backbone_multiplier=1.0, **kwargs):
        super().__init__(learning_rate, backbone_multiplier, weight_decay=weight_decay, **kwargs)


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SGD(_ForSegmenters, _KERAS_SGD):
    """Keras' stochastic gradient descent with momentum, and a learning rate of its own for the backbone.

    Args:
        learning_rate: as for `Adam`.
        momentum: float.
        backbone_multiplier: as for `Adam`.
        **kwargs: as for `keras.optimizers.SGD`.

    Example:
    ```python
    model.compile(optimizer=SGD(0.01, momentum=0.9))
    ```
    """

    def __init__(self, learning_rate=0.01, momentum: float = 0.9, backbone_multiplier=1.0, **kwargs):
        super().__init__(learning_rate, backbone_multiplier, momentum=momentum, **kwargs)


# Name in recipes -> class.
OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
