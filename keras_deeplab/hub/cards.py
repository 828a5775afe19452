"""Model cards: what a preset is, in the `README.md` that the Hugging Face Hub shows."""

from __future__ import annotations

import os
import pathlib

from keras_deeplab.hub.hugging_face import LIBRARY, published_repository
from keras_deeplab.hub.preset_files import CONFIG_FILE, METADATA_FILE, TASK_FILE, read_json
from keras_deeplab.labels import LabelSpace

PICTURE_FILE = "picture.png"
_PROJECT = "https://github.com/google-research/deeplab2"
# Of a dataset: its name in prose, its names on the Hub, and where its terms are.
_DATASETS = {
    "ade20k": ("ADE20K", ["ade20k"], "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/"),
    "camvid": ("CamVid", [], "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"),
    "cityscapes": ("Cityscapes", ["cityscapes"], "https://www.cityscapes-dataset.com/license/"),
    "cityscapes_dvps": ("Cityscapes-DVPS", ["cityscapes"], "https://www.cityscapes-dataset.com/license/"),
    "coco": ("COCO", ["coco"], "https://cocodataset.org/#termsofuse"),
    "imagenet1k": ("ImageNet-1K", ["imagenet-1k"], "https://www.image-net.org/download.php"),
    "imagenet22k_1k": ("ImageNet-22K and 1K", ["imagenet-1k"], "https://www.image-net.org/download.php"),
    "kitti_step": ("KITTI-STEP", ["kitti-step"], "https://www.cvlibs.net/datasets/kitti/"),
    "motchallenge_step": ("MOTChallenge-STEP", ["motchallenge-step"], "https://motchallenge.net/"),
    "rendered_streets": ("rendered street scenes", [], None),
    "semkitti_dvps": ("SemKITTI-DVPS", ["semantic-kitti"], "http://semantic-kitti.org/dataset.html"),
}
_METRIC_TYPES = {"mIoU": "mean_iou", "top-1": "accuracy"}
_EVALUATORS = {
    "official": "the dataset's own script",
    "deeplab2": "DeepLab2's evaluation",
    "authors": "the paper's authors",
}


def model_card(folder: str | os.PathLike, repository: str, entry=None, license: str | None = None) -> str:
    """The text of a preset's model card: metadata that the Hub reads, then Markdown.

    Args:
        folder: path of a preset folder. A `picture.png` in it is shown.
        repository: str. `"organisation/name"`, where it is going to be.
        entry: `PresetEntry` of a published preset: brings the dataset, the paper, the metrics and the origin.
            When `None`, that of the preset which the folder was converted from; or what the folder's metadata
            say of dataset and results, if they do.
        license: str. Licence of the weights as the Hub names it; that of the entry, else `"unknown"`.

    Returns:
        str.

    Raises:
        ValueError: if the folder's JSON files are missing or broken.

    Example:
    ```python
    print(model_card("./my_preset", "me/my_model", license="cc-by-4.0"))
    ```
    """
    folder = pathlib.Path(folder).expanduser()
    config = read_json(folder / CONFIG_FILE)
    task = read_json(folder / TASK_FILE) if (folder / TASK_FILE).is_file() else None
    metadata = read_json(folder / METADATA_FILE)
    name = repository.partition("/")[2]
    entry = entry or _converted_entry(metadata) or _described_entry(name, folder, metadata)
    license = license or (entry.license if entry else "unknown")
    space = LabelSpace.create(task["config"]["label_space"]) if task else None
    sections = [
        f"---\n{_front_matter(name, task, space, entry, license)}\n---",
        f"# {name}",
        _summary(config, task, entry),
        f"![An image that the model segmented]({PICTURE_FILE})" if (folder / PICTURE_FILE).is_file() else "",
        _usage(repository, task, entry),
        _metrics(entry),
        _label_space(space),
        _origin(entry, metadata),
        _license(entry, license),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(name, task, space, entry, license):
    from huggingface_hub import ModelCardData

    kinds = ["image-feature-extraction"] if space is None else ["semantic-segmentation"]
    if space is not None and space.things:
        kinds.append("panoptic-segmentation")
    about = {}
    if entry is not None:
        about["datasets"] = _dataset(entry)[1] or None
        about["base_model"] = _pretraining(entry)
        about["eval_results"] = _evaluation_results(entry) or None
        about["model_name"] = name
    # The Hub knows licences by short names; one that is said in words is "other" to it.
    named = {"license": "other", "license_name": license} if " " in license else {"license": license.lower()}
    return ModelCardData(
        **named,
        library_name=LIBRARY,
        pipeline_tag="image-segmentation" if task else "image-feature-extraction",
        tags=["keras", "deeplab", *kinds, *([entry.family, entry.dataset] if entry else [])],
        **about,
    ).to_yaml()


def _evaluation_results(entry):
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="image-classification" if metric["metric"] == "top-1" else "image-segmentation",
            dataset_type=next(iter(_dataset(entry)[1]), entry.dataset),
            dataset_name=_dataset(entry)[0],
            dataset_split=metric.get("split", entry.eval_split),
            metric_type=_METRIC_TYPES.get(metric["metric"], metric["metric"].lower()),
            metric_value=metric["value"],
            metric_name=f"{metric['metric']} ({metric['evaluator']})",
            **({"source_name": "DeepLab2", "source_url": _PROJECT} if entry.archive else {}),
        )
        for metric in entry.metrics
    ]


def _converted_entry(metadata):
    from keras_deeplab.hub.preset_table import find_entry

    try:
        return find_entry(metadata["preset"]) if "archive" in metadata else None
    except (KeyError, ValueError):
        return None


def _described_entry(name, folder, metadata):
    from keras_deeplab.hub.preset_table import folder_entry

    return folder_entry(name, folder) if "dataset" in metadata else None


def _pretraining(entry):
    """The repository of the published preset that training started from, where it is one."""
    from keras_deeplab.hub.preset_table import find_entry

    try:
        return published_repository(find_entry(entry.training["pretraining"]).name)
    except (KeyError, ValueError):
        return None


def _dataset(entry):
    return _DATASETS.get(entry.dataset, (entry.dataset, [entry.dataset], None))


def _summary(config, task, entry):
    text = (
        f"{task['class_name'] if task else 'A backbone'}: {entry.variant if entry else config['class_name']}"
    )
    if entry:
        text += f", trained on {_dataset(entry)[0]}"
    height, width, _ = config["config"]["image_shape"]
    rows = [("Images", "any size" if None in (height, width) else f"{height}x{width}")]
    if "output_stride" in config["config"]:
        rows.append(("Output stride", config["config"]["output_stride"]))
    if entry and entry.parameters:
        rows.append(("Parameters", f"{entry.parameters:,}"))
    if entry and entry.paper:
        rows.append(("Paper", f"[arXiv:{entry.paper}](https://arxiv.org/abs/{entry.paper})"))
    note = f"\n\n{entry.note}" if entry and entry.note else ""
    return f"{text}.{note}\n\n{_table(('', ''), rows)}"


def _usage(repository, task, entry):
    if task:
        code = f"""model = kd.Segmenter.from_preset("hf://{repository}")
result = model.segment("street.jpg")  # any size; a folder, a list or arrays too
result.save("street_segmented.png")  # overlay and legend
print(result.segments)  # class, area, box and score of each"""
    else:
        code = f"""backbone = kd.Backbone.from_preset("hf://{repository}")
features = backbone({_normalized(entry)})  # images [b, h, w, 3] in 0..255 -> {{"res2": ..., "res5": ...}}"""
    return f"""## Use

One set of weights for TensorFlow, JAX and PyTorch, with [keras-deeplab](https://pypi.org/project/keras-deeplab).

```bash
pip install "keras-deeplab[jax]"  # or [tensorflow], [torch]
```

```python
import os

os.environ["KERAS_BACKEND"] = "jax"  # or "tensorflow", "torch"; before the next import
import keras_deeplab as kd

{code}
```

`"hf://{repository}@<commit>"` pins a version."""


def _normalized(entry):
    if entry and entry.normalization:
        return f"(images - {list(entry.normalization['mean'])}) / {list(entry.normalization['std'])}"
    return "images / 127.5 - 1.0"


def _metrics(entry):
    if entry is None or not entry.metrics:
        return ""
    rows = [
        (
            m["metric"],
            m["value"],
            _EVALUATORS.get(m["evaluator"], m["evaluator"]),
            m.get("split", entry.eval_split),
        )
        for m in entry.metrics
    ]
    source = "measured with `keras-deeplab evaluate`: one scale, not mirrored."
    if entry.archive:
        source = (
            "as published for the original checkpoint: one scale, not mirrored. They were not measured again."
        )
    return (
        f"## Metrics\n\nOn {_dataset(entry)[0]}, {source}\n\n"
        f"{_table(('Metric', 'Value', 'Counted by', 'Split'), rows)}"
    )


def _label_space(space):
    if space is None:
        return ""
    kinds = [("things, which have instances", space.things), ("stuff", space.stuff)]
    lists = [
        f"- {len(indices)} {kind}: {', '.join(f'{space.classes[i]} ({i})' for i in indices)}"
        for kind, indices in kinds
        if indices
    ]
    return (
        f"## Classes\n\nThe label space `{space.name}`. A panoptic map holds class * {space.label_divisor} + "
        f"instance; void is {space.void}.\n\n" + "\n".join(lists)
    )


def _origin(entry, metadata):
    lines = []
    if entry and entry.archive:
        lines.append(
            f"Converted from `{entry.archive}` of [DeepLab2]({_PROJECT}): every weight of its checkpoint was "
            "read, and every weight of the network came from it."
        )
        if "archive_sha256" in metadata:
            lines.append(f"SHA-256 of the archive: `{metadata['archive_sha256']}`.")
    if "weights_dtype" in metadata:
        lines.append(
            f"Kernels are stored in {metadata['weights_dtype']}, everything else in float32; loading gives "
            "float32."
        )
    lines.append(f"Written by keras-deeplab {metadata.get('keras_deeplab_version', '')}.".replace(" .", "."))
    return "## Origin\n\n" + "\n".join(lines)


def _license(entry, license):
    text = "The publisher has named no licence." if license == "unknown" else f"The weights: {license}."
    terms = _dataset(entry)[2] if entry else None
    if terms:
        text += f" The data that they were trained on has [terms of its own]({terms})."
    return f"## Licence\n\n{text}"


def _table(heads, rows):
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join('' if c is None else str(c) for c in cells)} |" for cells in lines)
