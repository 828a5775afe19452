"""Learning rates that rise in a line before they decay."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_deeplab")
class LinearWarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A decay whose first steps are replaced by a line from 0 to its first learning rate.

    The decay is not shifted: after the warm-up it goes on as if it had run from the start, a little below the
    rate that the line ends at.

    Args:
        decay: Keras `LearningRateSchedule`.
        warmup_steps: int. Number of steps on the line; step 0 has the rate 0. With 0 steps the decay is as
            it was.

    Raises:
        ValueError: if `warmup_steps` is negative.

    Example:
    ```python
    rate = LinearWarmUp(polynomial_decay(5e-4, steps=100_000), warmup_steps=5_000)
    rate(2_500), rate(5_000)  # 2.5e-4, 4.774e-4
    ```
    """

    def __init__(self, decay: keras.optimizers.schedules.LearningRateSchedule, warmup_steps: int):
        super().__init__()
        if warmup_steps < 0:
            raise ValueError(f"`warmup_steps` must not be negative. Received: {warmup_steps}")
        self.decay = decay
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        decayed = self.decay(step)
        if self.warmup_steps == 0:
            return decayed
        done = ops.cast(step, "float32") / self.warmup_steps
        return ops.where(done < 1.0, self.decay(0) * done, decayed)

    def get_config(self):
        return {
            "decay": keras.optimizers.schedules.serialize(self.decay),
            "warmup_steps": self.warmup_steps,
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.optimizers.schedules.deserialize(config["decay"]), config["warmup_steps"])


def polynomial_decay(learning_rate: float, steps: int, power: float = 0.9, end_learning_rate: float = 0.0):
    """`learning_rate * (1 - step / steps) ** power`, the "poly" policy of the DeepLab papers.

    Args:
        learning_rate: float. The first rate.
        steps: int. Steps until the last rate, where it stays.
        power: float.
        end_learning_rate: float. The last rate; the power is one of the way to it.

    Returns:
        Keras `PolynomialDecay`.

    Source: Chen et al. 2017, "DeepLab" (arXiv 1606.00915), section 4.1.
    """
    return keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, end_learning_rate, power)


def cosine_decay(learning_rate: float, steps: int):
    """Half a cosine from `learning_rate` down to 0.

    Args:
        learning_rate: float. The first rate.
        steps: int. Steps until the rate is 0, where it stays.

    Returns:
        Keras `CosineDecay`.

    Source: Loshchilov and Hutter 2017, "SGDR" (arXiv 1608.03983), section 3.
    """
    return keras.optimizers.schedules.CosineDecay(learning_rate, steps)


# Name in recipes -> function from the first rate and the number of steps to a decay.
DECAYS = {"polynomial": polynomial_decay, "cosine": cosine_decay}


def warmed_up_decay(name: str, learning_rate: float, steps: int, warmup_steps: int = 0, **options):
    """The schedule that DeepLab's training follows.

    Args:
        name: str. `"polynomial"` or `"cosine"`.
        learning_rate: float. Where the decay starts.
        steps: int. Steps of the whole training, those of the warm-up included.
        warmup_steps: int.
        **options: further arguments of `polynomial_decay`.

    Returns:
        Keras `LearningRateSchedule`.

    Raises:
        ValueError: for an unknown name.

    Example:
    ```python
    optimizer = Adam(warmed_up_decay("polynomial", 5e-4, steps=200_000, warmup_steps=2_000))
    ```
    """
    if name not in DECAYS:
        raise ValueError(f"Unknown schedule {name!r}. Schedules: {', '.join(DECAYS)}.")
    return LinearWarmUp(DECAYS[name](learning_rate, steps, **options), warmup_steps)
