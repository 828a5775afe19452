"""Finds the files of datasets and matches those that belong together."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Mapping

from keras_deeplab.data.images import IMAGE_EXTENSIONS


def find_files(folder: pathlib.Path, pattern: str, ending: str) -> dict[str, pathlib.Path]:
    """Files by what their names have in front of an ending, sorted. Hidden files are left out.

    Args:
        folder: path. May be missing.
        pattern: str. Glob pattern of the files, relative to the folder.
        ending: str. What comes after the name, with or without the rest of the file's name.

    Returns:
        Dict from name to path, sorted by path; empty when nothing is there.

    Raises:
        ValueError: when two files have the same name.

    Example:
    ```python
    find_files(root / "leftImg8bit/val", "*/*_leftImg8bit.png", "_leftImg8bit")
    ```
    """
    paths = {}
    for path in sorted(folder.glob(pattern)):
        if not path.name.startswith("."):
            _add(paths, path.name.rpartition(ending)[0], path)
    return paths


def find_images(
    folder: pathlib.Path, suffix: str = "", extensions: Collection[str] = IMAGE_EXTENSIONS
) -> dict[str, pathlib.Path]:
    """Image files in a folder and all folders inside of it, by their path without extension, sorted.

    Links are followed, each folder is read once. Hidden files and folders are left out.

    Args:
        folder: path. May be missing.
        suffix: str. Only files whose stem ends with it are found; it is no part of the name.
        extensions: extensions of files to find, lower case.

    Returns:
        Dict from name, with `/` between folders, to path; empty when nothing is there.

    Raises:
        ValueError: when two files have the same name.

    Example:
    ```python
    find_images(pathlib.Path("clip/masks"))  # {"bike/00000": PosixPath("clip/masks/bike/00000.png"), ...}
    ```
    """
    paths = {}
    for relative, path in _walk(os.fspath(folder), "", set()):
        stem, extension = os.path.splitext(relative)
        if extension.lower() in extensions and stem.endswith(suffix):
            _add(paths, stem.removesuffix(suffix), pathlib.Path(path))
    return paths


def dataset_folder(root: str | os.PathLike, dataset: str) -> pathlib.Path:
    """The path of a dataset's folder.

    Raises:
        ValueError: when there is no such folder; the message names the dataset.
    """
    root = pathlib.Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(f"The {dataset} folder {root} does not exist.")
    return root


def list_folders(parent: pathlib.Path) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones; empty when it is missing."""
    if not parent.is_dir():
        return []
    return sorted(path.name for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def require_files(paths: Mapping, kind: str, where: str, hint: str = "") -> Mapping:
    """The files that were found, or an error that says where they were looked for.

    Args:
        paths: dict of the files that were found.
        kind: `"images"` or `"labels"`.
        where: str. Where the files should be.
        hint: str. A sentence about what is there instead.

    Raises:
        ValueError: when there are none.
    """
    if paths:
        return paths
    way_out = {
        "images": "Pass images=False to read labels only.",
        "labels": "Pass labels=None to read images only.",
    }[kind]
    raise ValueError(" ".join(filter(None, (f"There are no {kind} {where}.", hint, way_out))))


def common_names(images: Mapping | None, labels: Mapping | None) -> list[str]:
    """The names of samples that have both an image and a label, where both are read.

    Args:
        images: dict from name to the path of an image. `None` when images are not read.
        labels: dict from name to the path of a label. `None` when labels are not read.

    Returns:
        List of names, in the order of `images`.

    Raises:
        ValueError: when one has names that the other lacks.
    """
    if images is None or labels is None:
        return list(labels if images is None else images)
    missing = [name for name in images if name not in labels]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(images)} images have no labels, the first is {images[missing[0]]}. "
            "Remove them, or pass labels=None to read images only."
        )
    missing = [name for name in labels if name not in images]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(labels)} label maps have no image, the first is {labels[missing[0]]}. "
            "Remove them, or pass images=False to read labels only."
        )
    return list(images)


def check_same_size(image, image_path, label, label_path, kind: str = "label map") -> None:
    """Raises a ValueError when an image `[H, W, ...]` and what belongs to it have different sizes."""
    if image.shape[:2] != label.shape[:2]:
        (height, width), (label_height, label_width) = image.shape[:2], label.shape[:2]
        raise ValueError(
            f"The image {image_path} is {height}x{width}, but its {kind} {label_path} is "
            f"{label_height}x{label_width}."
        )


def _walk(folder, prefix, seen):
    """The path relative to the outermost folder, and the path, of every file."""
    if not os.path.isdir(folder):  # also false for a link in a circle
        return
    identity = os.stat(folder)
    if (identity.st_dev, identity.st_ino) in seen:
        return
    seen.add((identity.st_dev, identity.st_ino))
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
    for entry in visible:
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", seen)
        else:
            yield prefix + entry.name, entry.path


def _add(paths, name, path):
    if name in paths:
        raise ValueError(f"There are two files for {name!r}: {paths[name]} and {path}. Remove one of them.")
    paths[name] = path
