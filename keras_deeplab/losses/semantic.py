"""The loss of models that predict classes alone."""

from __future__ import annotations

import keras

from keras_deeplab.losses.dense import semantic_cross_entropy


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SemanticLoss:
    """Cross-entropy of every pixel's class, one value per image.

    Args:
        ignore_label: int. Class of pixels that do not count.
        semantic_top_k: float in (0, 1]. Share of the pixels that count, hardest first.

    Call it with `(targets, heads)`: `targets["semantic"]` int `[b, h, w]`, and `targets["semantic_weight"]`
    float `[b, h, w]` where there is one. It returns `{"semantic_loss": float32 [b]}`.

    Example:
    ```python
    SemanticLoss(ignore_label=255)({"semantic": labels}, model(images))["semantic_loss"]
    ```
    """

    names = ("semantic_loss",)

    def __init__(self, ignore_label: int = 255, semantic_top_k: float = 1.0):
        if not 0 < semantic_top_k <= 1:
            raise ValueError(f"`semantic_top_k` must lie in (0, 1]. Received: {semantic_top_k}")
        self.ignore_label = ignore_label
        self.semantic_top_k = semantic_top_k

    def __call__(self, targets: dict, heads: dict) -> dict:
        loss = semantic_cross_entropy(
            targets["semantic"],
            heads["semantic_logits"],
            targets.get("semantic_weight"),
            self.ignore_label,
            self.semantic_top_k,
        )
        return {"semantic_loss": loss}

    @classmethod
    def from_config(cls, config: dict) -> SemanticLoss:
        return cls(**config)

    def get_config(self) -> dict:
        return {"ignore_label": self.ignore_label, "semantic_top_k": self.semantic_top_k}
