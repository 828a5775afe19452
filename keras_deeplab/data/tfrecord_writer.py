"""Writes TFRecords that DeepLab2 reads. Without TensorFlow."""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import tempfile
from collections.abc import Sequence

from keras_deeplab.data.deeplab2_record import encode_sample
from keras_deeplab.data.tfrecord_file import write_record
from keras_deeplab.labels import LabelSpace
from keras_deeplab.progress import progress_bar


def write_tfrecords(
    reader: Sequence,
    folder: str | os.PathLike,
    split: str = "train",
    shards: int | str = 10,
    panoptic: bool = True,
    image_format: str = "png",
    num_threads: int | None = None,
) -> list[pathlib.Path]:
    """Writes samples as TFRecord files that DeepLab2 reads: `FOLDER/SPLIT-00000-of-00010.tfrecord` and so on.

    What the samples hold is written: images, labels, sequence and frame, previous or next frames, depth. The
    files appear once all are complete. The same samples give the same files, up to the version of the image
    encoder.

    Args:
        reader: sequence (`len`, `[i]`) of samples, e.g. `Cityscapes`, with a `label_space`.
        folder: path of the folder, made when missing.
        split: str. Begin of the file names.
        shards: int, number of files of almost equal size, at most one per sample. Or `"sequence"`, one file
            per video: DeepLab2 opens files in random order, so that evaluation on videos needs it.
        panoptic: bool. `True` writes labels as raw int32 panoptic maps, `False` as PNGs of classes, for
            DeepLab2's semantic models.
        image_format: `"png"`, or `"jpeg"`, which is smaller and changes the pixels.
        num_threads: int. Threads that read and encode; 0 works in the caller's thread. `None` takes the
            number of processors, at most 16.

    Returns:
        List of the files' paths.

    Raises:
        ImportError: when the package google-crc32c is not installed.
        ValueError: when the reader is empty or the folder has files of this split; for a sample that cannot
            be written, or that has other fields than the first one.

    Example:
    ```python
    write_tfrecords(Cityscapes("/data/cityscapes", split="val"), "/data/records", split="val")
    ```
    """
    folder = pathlib.Path(folder)
    _check_arguments(reader, folder, split, shards, image_format)
    fields = reader[0].keys()
    if shards == "sequence" and "sequence" not in fields:
        raise ValueError("`shards` is 'sequence', but the samples have no `sequence`. Pass a number.")
    encode = functools.partial(
        _encode,
        fields=fields,
        label_space=LabelSpace.create(reader.label_space),
        panoptic=panoptic,
        image_format=image_format,
    )
    records = progress_bar(
        _map_in_threads(encode, reader, num_threads), len(reader), f"Writing {split} records"
    )
    shards = shards if shards == "sequence" else min(shards, len(reader))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{split}-", dir=folder) as temporary:
        written = _write_shards(records, pathlib.Path(temporary), shards, len(reader))
        paths = [
            folder / f"{split}-{number:05d}-of-{len(written):05d}.tfrecord" for number in range(len(written))
        ]
        for source, path in zip(written, paths, strict=True):
            os.replace(source, path)
    return paths


def _check_arguments(reader, folder, split, shards, image_format):
    if len(reader) == 0 or getattr(reader, "label_space", None) is None:
        raise ValueError(f"The reader has no {'`label_space`' if len(reader) else 'samples'}: {reader!r}")
    if not split or pathlib.PurePath(split).name != split:
        raise ValueError(f"`split` must be the begin of a file name. Received: split={split!r}")
    if shards != "sequence" and (isinstance(shards, bool) or not isinstance(shards, int) or shards < 1):
        raise ValueError(f"`shards` must be an integer >= 1 or 'sequence'. Received: shards={shards!r}")
    if image_format not in ("png", "jpeg"):
        raise ValueError(f"`image_format` must be 'png' or 'jpeg'. Received: image_format={image_format!r}")
    existing = sorted(folder.glob(f"{split}-*-of-*.tfrecord"))
    if existing:
        raise ValueError(f"{existing[0]} exists. Remove the files of this split, or choose another folder.")


def _write_shards(records, folder, shards, count):
    """Writes numbered files to a folder, returns their paths."""

    def shard(item):
        index, (sequence, _) = item
        return sequence if shards == "sequence" else index * shards // count

    paths, seen = [], set()
    for key, group in itertools.groupby(enumerate(records), key=shard):
        if key in seen:
            raise ValueError(f"The frames of sequence {key!r} do not follow each other in the reader.")
        seen.add(key)
        paths.append(folder / f"{len(paths):05d}")
        with open(paths[-1], "wb") as file:
            for _, (_, data) in group:
                write_record(file, data)
    return paths


def _map_in_threads(function, reader, num_threads):
    """Iterates over the results of a function of each sample, in order."""
    import grain

    if num_threads is None:
        num_threads = min(os.cpu_count() or 1, 16)
    # Grain's own buffer of 500 samples would not fit into memory.
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * max(num_threads, 1))
    return iter(grain.MapDataset.source(reader).map(function).to_iter_dataset(options))


def _encode(sample, fields, **options):
    """The sequence of a sample, and its record."""
    name = sample.get("name", "")
    if sample.keys() != fields:
        differing = ", ".join(sorted(sample.keys() ^ fields))
        raise ValueError(f"Sample {name!r} differs from the first one in having {differing} or not.")
    try:
        return sample.get("sequence"), encode_sample(sample, **options)
    except ValueError as error:
        raise ValueError(f"Sample {name!r} cannot be written: {error}") from error
