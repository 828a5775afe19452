"""Rendered scenes in files, and the choice of those that come more often in training."""

import functools
import multiprocessing

import numpy as np


class RenderedScenes:
    """Scenes that all processors rendered into two files of `folder`, a megabyte a scene.

    Rendering a scene takes longer than all that is done to it afterwards.
    """

    FILES = ("image", "panoptic")

    def __init__(self, scenes, folder):
        self.label_space = scenes.label_space
        self.names = scenes.names
        if not all(_array_file(folder, name).exists() for name in self.FILES):
            folder.mkdir(parents=True, exist_ok=True)
            self._render(scenes, folder)
        self.folder = folder

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        arrays = {name: np.array(_open_array(_array_file(self.folder, name))[index]) for name in self.FILES}
        return {"name": self.names[index], **arrays}

    def count_pixels(self, class_name):
        """About how many pixels of every scene are of a class: int `[scenes]`. Every fourth is looked at."""
        code = self.label_space.classes.index(class_name)
        panoptic = _open_array(_array_file(self.folder, "panoptic"))
        maps = (scene[::2, ::2] // self.label_space.label_divisor for scene in panoptic)
        return np.array([4 * np.count_nonzero(classes == code) for classes in maps])

    def _render(self, scenes, folder):
        unfinished = {name: _array_file(folder, f"unfinished_{name}") for name in self.FILES}
        for name, file in unfinished.items():
            array = scenes[0][name]
            np.lib.format.open_memmap(file, "w+", array.dtype, (len(scenes), *array.shape))
        with multiprocessing.get_context("spawn").Pool() as pool:
            pool.map(functools.partial(_render_scene, scenes, unfinished), range(len(scenes)), chunksize=50)
        for name, file in unfinished.items():
            file.rename(_array_file(folder, name))


class RepeatedScenes:
    """Scenes of which those that show a rare class come more than once.

    Args:
        scenes: `RenderedScenes`.
        repeats: dict. How many times a scene comes by the name of a class that it shows; of several classes
            the highest number counts.
        min_pixels: int. How many pixels of a class a scene shows at least.
    """

    def __init__(self, scenes, repeats, min_pixels=400):
        times = np.ones(len(scenes), int)
        for class_name, count in repeats.items():
            shown = scenes.count_pixels(class_name) >= min_pixels
            times = np.maximum(times, np.where(shown, count, 1))
        self.label_space = scenes.label_space
        self.indices = np.repeat(np.arange(len(scenes)), times)
        self.names = [scenes.names[index] for index in self.indices]
        self._scenes = scenes

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self._scenes[self.indices[index]]


def _array_file(folder, name):
    return folder / f"{name}.npy"


@functools.cache
def _open_array(file):
    """A file as an array. Opened where it is used: sent to a process, an array would be read whole."""
    return np.load(file, mmap_mode="r+")


def _render_scene(scenes, files, index):
    sample = scenes[index]
    for name, file in files.items():
        _open_array(file)[index] = sample[name]
