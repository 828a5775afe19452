"""Recipes: the settings that a model is trained with, by name, from `recipes.toml`.

Looking at recipes loads no backend; the arguments for `compile` do.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import pathlib
import tomllib

from keras_deeplab.data.autoaugment import AutoAugment
from keras_deeplab.data.targets import panoptic_targets, semantic_targets
from keras_deeplab.hub import preset_table
from keras_deeplab.training.recipe_fields import check_field, parse_text

# Fields that are arguments of a model's loss, of Keras' optimizers, and of a pipeline under the same name.
_LOSS_FIELDS = ("semantic_weight", "center_weight", "offset_weight", "semantic_top_k")
_OPTIMIZER_FIELDS = ("backbone_multiplier", "clipnorm", "global_clipnorm", "use_ema", "ema_momentum")
_PIPELINE_FIELDS = ("image_size", "scales", "flip", "resize")
_SEMANTIC_MODELS = ("DeepLabV3", "DeepLabV3Plus")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What training takes beside model and data.

    One step is one update of the weights by `batch_size` images. With `gradient_accumulation_steps` it takes
    as many smaller batches, so that less memory is needed for the same training.

    Attributes:
        name: str.
        image_size: `(height, width)` of the crops; the model must have that `image_shape`, or any.
        batch_size: int. Images of a step, on all devices together.
        steps: int. Length of the training.
        learning_rate: float. Where the decay starts.
        model: str. Class of the models that it is for; `None` for all.
        schedule: str. `"polynomial"` or `"cosine"`.
        warmup_steps: int. Steps in which the learning rate rises in a line.
        optimizer: str. `"adam"`, `"adamw"` or `"sgd"`.
        weight_decay: float. Of AdamW, which decays kernels alone.
        backbone_multiplier: float. The backbone's learning rate is this times the others'.
        clipnorm: float. Largest norm of a variable's gradient; `None` for any.
        global_clipnorm: float. Largest norm of all gradients together; `None` for any.
        gradient_accumulation_steps: int. Batches of a step.
        use_ema: bool. Whether to end with the moving average of the weights.
        ema_momentum: float. What that average keeps of itself in every step.
        freeze: str. What is not trained, as for `Segmenter.compile`; `None` for nothing.
        semantic_weight: float. This and the next ones are settings of the model's loss; `None` is its own.
        center_weight: float.
        offset_weight: float.
        semantic_top_k: float in (0, 1]. Share of the pixels in the cross-entropy, hardest first.
        small_instance_weight: float. Semantic weight of instances below 64 x 64 pixels; `None` for none.
        center_sigma: int. Standard deviation in pixels of the centres' heat. 8 is for images of 1025x2049; in
            small ones it melts neighbouring objects into one.
        scales: `(smallest, largest, step)` of the random scale; `None` for none.
        flip: bool. Whether to flip at random.
        resize: `(min_size, max_size, factor)` that images are resized to before all; `None` for none.
        autoaugment: float. Strength of AutoAugment's colours, 1 for the full one; `None` for none.
        config: str. DeepLab2's experiment file with these settings, below its folder `configs`.

    Raises:
        ValueError: for a malformed field; the message names it.

    Example:
    ```python
    recipe = Recipe.load("resnet50_cityscapes", batch_size=4, image_size=(513, 1025))
    train = Pipeline(Cityscapes("/data/cityscapes"), **recipe.pipeline_arguments())
    model.compile(**recipe.compile_arguments())
    model.fit(train, steps_per_epoch=recipe.num_batches)
    ```
    """

    name: str
    image_size: tuple[int, int]
    batch_size: int
    steps: int
    learning_rate: float
    model: str | None = None
    schedule: str = "polynomial"
    warmup_steps: int = 0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    backbone_multiplier: float = 1.0
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    gradient_accumulation_steps: int = 1
    use_ema: bool = False
    ema_momentum: float = 0.99
    freeze: str | None = None
    semantic_weight: float | None = None
    center_weight: float | None = None
    offset_weight: float | None = None
    semantic_top_k: float | None = None
    small_instance_weight: float | None = None
    center_sigma: int = 8
    scales: tuple[float, float, float] | None = (0.5, 2.0, 0.1)
    flip: bool = True
    resize: tuple | None = None
    autoaugment: float | None = None
    config: str | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = check_field(self.name, field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        self._check_fields_together()

    @classmethod
    def load(cls, name: str, **changes) -> Recipe:
        """The recipe of that name, with fields replaced.

        Args:
            name: str. A name of `Recipe.names()`, or another name of a preset among them.
            **changes: as for `replace`.

        Raises:
            ValueError: for an unknown name, with similar ones; or as `replace`.

        Example:
        ```python
        Recipe.load("axial_swidernet_cityscapes").learning_rate  # 7.5e-05
        ```
        """
        found = next((n for n in (name, _published_name(name)) if n in _tables()), None)
        if found is None:
            similar = difflib.get_close_matches(str(name), _tables(), cutoff=0.4) or ["small_data"]
            raise ValueError(
                f"Unknown recipe {name!r}. Similar recipes: {', '.join(similar)}. All of them: "
                "keras_deeplab.Recipe.names()."
            )
        recipe = cls(name=found, **_fields_of(found))
        return recipe.replace(**changes) if changes else recipe

    @staticmethod
    def names() -> list[str]:
        """The names of all recipes."""
        return list(_tables())

    def replace(self, **changes) -> Recipe:
        """The recipe with other values of fields.

        Args:
            **changes: values by field. Text is read as on a command line: `"1e-4"`, `"true"`, `"none"`,
                `"513x1025"`, `"0.5,2.0,0.1"`.

        Raises:
            ValueError: for an unknown field or a value that it cannot have; the message names it.

        Example:
        ```python
        recipe.replace(learning_rate="1e-4", image_size="513x1025")
        ```
        """
        known = [field.name for field in dataclasses.fields(self) if field.name != "name"]
        for field in changes:
            if field not in known:
                similar = difflib.get_close_matches(field, known) or known
                raise ValueError(
                    f"A recipe has no field {field!r}. {'Similar' if len(similar) < len(known) else 'All'} "
                    f"fields: {', '.join(similar)}."
                )
        return dataclasses.replace(self, **{field: parse_text(value) for field, value in changes.items()})

    @property
    def num_batches(self) -> int:
        """Batches of the whole training: those of a step times the steps."""
        return self.steps * self.gradient_accumulation_steps

    def compile_arguments(self) -> dict:
        """What `model.compile(**arguments)` of a `Segmenter` takes.

        Returns:
            Dict with `optimizer`, a new Keras optimizer; `loss`, which becomes the model's own loss with this
            recipe's weights, or a `ValueError` if the model is of another class; and `freeze`.
        """
        from keras_deeplab.training.optimizers import OPTIMIZERS
        from keras_deeplab.training.schedules import warmed_up_decay

        options = {field: getattr(self, field) for field in _OPTIMIZER_FIELDS}
        if self.optimizer == "adamw":
            options["weight_decay"] = self.weight_decay
        if self.gradient_accumulation_steps > 1:
            options["gradient_accumulation_steps"] = self.gradient_accumulation_steps
        rate = warmed_up_decay(self.schedule, self.learning_rate, self.steps, self.warmup_steps)
        return {
            "optimizer": OPTIMIZERS[self.optimizer](rate, **options),
            "loss": LossOfRecipe(self),
            "freeze": self.freeze,
        }

    def pipeline_arguments(self) -> dict:
        """What `Pipeline(reader, **arguments)` takes, with `training=False` for validation data, too.

        Returns:
            Dict with `image_size`, `batch_size`, `scales`, `flip`, `resize`, `autoaugment` and `targets`.
        """
        targets = functools.partial(
            panoptic_targets, sigma=self.center_sigma, small_instance_weight=self.small_instance_weight
        )
        if self.model in _SEMANTIC_MODELS and self.small_instance_weight is None:
            targets = semantic_targets
        return {
            **{field: getattr(self, field) for field in _PIPELINE_FIELDS},
            "batch_size": self.batch_size // self.gradient_accumulation_steps,
            "autoaugment": None
            if self.autoaugment is None
            else AutoAugment(magnitude_scale=self.autoaugment),
            "targets": targets,
        }

    def _check_fields_together(self):
        wrong = None
        if self.batch_size % self.gradient_accumulation_steps:
            wrong = (
                f"`batch_size` {self.batch_size} is not a multiple of `gradient_accumulation_steps` "
                f"{self.gradient_accumulation_steps}"
            )
        elif self.warmup_steps >= self.steps:
            wrong = f"`warmup_steps` {self.warmup_steps} must be fewer than `steps` {self.steps}"
        elif self.weight_decay and self.optimizer != "adamw":
            wrong = f"`weight_decay` is for the optimizer 'adamw', not for {self.optimizer!r}"
        elif self.clipnorm is not None and self.global_clipnorm is not None:
            wrong = "only one of `clipnorm` and `global_clipnorm` can be set"
        if wrong:
            raise ValueError(f"Recipe {self.name!r}: {wrong}.")


def recipe(name: str, **changes) -> dict:
    """What `model.compile(**recipe(name))` takes to train as a recipe says.

    Its data side is `Recipe.load(name).pipeline_arguments()`.

    Args:
        name: str. A name of `Recipe.names()`.
        **changes: fields of the recipe to replace, e.g. `learning_rate=1e-4`.

    Returns:
        Dict; see `Recipe.compile_arguments`.

    Raises:
        ValueError: for an unknown name or field, or a value that the field cannot have.

    Example:
    ```python
    model.compile(**kd.recipe("resnet50_cityscapes", steps=30_000))
    ```
    """
    return Recipe.load(name, **changes).compile_arguments()


@dataclasses.dataclass(frozen=True)
class LossOfRecipe:
    """The loss of a model that is not known yet; `Segmenter.compile` asks for it with `for_model`.

    Attributes:
        recipe: `Recipe`.
    """

    recipe: Recipe

    def for_model(self, model):
        """The model's own loss with the recipe's weights.

        Args:
            model: `Segmenter`.

        Raises:
            ValueError: when the recipe is for models of another class, or sets what this model's loss lacks.
        """
        recipe, found = self.recipe, type(model).__name__
        if recipe.model is not None and recipe.model not in {cls.__name__ for cls in type(model).__mro__}:
            others = [name for name in Recipe.names() if _fields_of(name).get("model") in (None, found)]
            raise ValueError(
                f"The recipe {recipe.name!r} trains a {recipe.model}, but the model is a {found}. Recipes "
                f"for it: {', '.join(others)}."
            )
        loss = model.default_loss()
        config = loss.get_config()
        settings = {field: getattr(recipe, field) for field in _LOSS_FIELDS}
        settings = {field: value for field, value in settings.items() if value is not None}
        for field in settings:
            if field not in config:
                known = [field for field in _LOSS_FIELDS if field in config]
                raise ValueError(
                    f"The recipe {recipe.name!r} sets `{field}`, which the loss of {found} does not have. It "
                    f"has: {', '.join(known)}."
                )
        return type(loss).from_config({**config, **settings})


@functools.cache
def _tables():
    return tomllib.loads(pathlib.Path(__file__).with_name("recipes.toml").read_text("utf-8"))


def _published_name(name):
    """The name of the preset that a name or alias stands for, `None` for no preset."""
    try:
        return preset_table.find_entry(name).name
    except ValueError:
        return None


@functools.cache
def _fields_of(name):
    """The fields of a recipe: those of the one that it is like, of the preset that it trained, its own."""
    table = {field: parse_text(value) for field, value in _tables()[name].items()}
    like = table.pop("like", None)
    fields = dict(_fields_of(like)) if like else {}
    entry = preset_table.preset_entries().get(name)
    if entry is not None:
        fields |= {
            "model": entry.model,
            "image_size": entry.image_size,
            "steps": entry.training["steps"],
            "config": entry.config,
        }
    elif "config" not in table:
        fields.pop("config", None)
    return {**fields, **table}
