"""The work of `data.py` in torch's DataLoader, with Pillow and torch's own operations."""

import numpy as np
import torch
from data import SCALES, targets_of
from PIL import Image, ImageEnhance, ImageOps

from keras_deeplab.data.autoaugment import POLICIES

ENHANCERS = {
    "Sharpness": ImageEnhance.Sharpness,
    "Brightness": ImageEnhance.Brightness,
    "Contrast": ImageEnhance.Contrast,
    "Color": ImageEnhance.Color,
}


class Frames(torch.utils.data.IterableDataset):
    """Augmented frames without end."""

    def __init__(self, image_paths, label_paths, size):
        super().__init__()
        self.paths = list(zip(image_paths, label_paths, strict=True))
        self.size = size

    def __iter__(self):
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng(worker.id if worker else 0)
        while True:
            yield prepare(*self.paths[rng.integers(len(self.paths))], self.size, rng)


def batches(image_paths, label_paths, size, batch_size, workers):
    """Iterator over batches."""
    frames = Frames(image_paths, label_paths, size)
    return iter(torch.utils.data.DataLoader(frames, batch_size, num_workers=workers))


def prepare(image_path, label_path, size, rng):
    image, label = Image.open(image_path).convert("RGB"), Image.open(label_path)
    scale = rng.uniform(*SCALES[:2])
    scaled = [int(side * scale) for side in image.size]
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    label = label.resize(scaled, Image.Resampling.NEAREST)
    left, top = (int(rng.integers(max(a - b, 0) + 1)) for a, b in zip(scaled, size[::-1], strict=True))
    box = (left, top, left + size[1], top + size[0])  # beyond the image, Pillow fills with 0
    image, label = image.crop(box), np.asarray(label.crop(box)).astype(np.int32)
    image = np.asarray(change_colors(image, rng))
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).float().div_(127.5).sub_(1)
    return pixels, {name: torch.from_numpy(value) for name, value in targets_of(label).items()}


def change_colors(image, rng):
    policy = POLICIES["simple_classification"]
    for name, probability, magnitude in policy[rng.integers(len(policy))]:
        if rng.random() >= probability:
            continue
        if name in ENHANCERS:
            image = ENHANCERS[name](image).enhance(magnitude / 10 * 1.8 + 0.1)
        elif name == "Solarize":
            image = ImageOps.solarize(image, int(magnitude / 10 * 256))
        else:
            image = ImageOps.equalize(image)
    return image
