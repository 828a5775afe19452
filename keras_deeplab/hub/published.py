"""The checkpoints that DeepLab2 published: downloaded, unpacked, converted, and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pathlib

from keras_deeplab.hub import cache, preset_table
from keras_deeplab.hub.archive import unpack
from keras_deeplab.hub.convert import convert_checkpoint
from keras_deeplab.hub.download import download

ARCHIVES = "https://storage.googleapis.com/gresearch/tf-deeplab/checkpoint/"


def find(preset: str) -> pathlib.Path:
    """The folder of a published preset, made from DeepLab2's archive.

    Archives come from `$KERAS_DEEPLAB_ARCHIVES`, a URL or a folder, else from DeepLab2's storage. One that
    was put into the cache's `downloads` folder by hand is taken from there. Once converted it is removed.

    Args:
        preset: str. Name or alias.

    Returns:
        Path of the preset folder in the cache.

    Raises:
        LookupError: with the reason why there is none.
    """
    try:
        entry = preset_table.find_entry(str(preset))
        if entry.archive is None:
            raise LookupError("DeepLab2 published no archive of it")
        _check_tensorflow()
        return cache.install(entry.name, lambda work: _make(entry, work))
    except (ValueError, ImportError, OSError) as error:
        raise LookupError(str(error)) from error


def _make(entry, work):
    with _archive(entry.archive) as (url, path):
        unpack(path, work / "checkpoint")
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        source = {"archive": entry.archive, "archive_sha256": digest, "license": entry.license}
        if url is not None:
            source["archive_url"] = url
        convert_checkpoint(entry, work / "checkpoint", work / "preset", source)
    return work / "preset"


@contextlib.contextmanager
def _archive(name):
    """URL, `None` where it lies in a folder, and path of an archive.

    Among the downloads it is removed once it is used, or is found no good.
    """
    base = os.environ.get("KERAS_DEEPLAB_ARCHIVES") or ARCHIVES
    if not base.startswith(("http://", "https://")):
        path = pathlib.Path(base).expanduser() / name
        if not path.is_file():
            raise LookupError(f"no file {name} in the folder {base!r}, which KERAS_DEEPLAB_ARCHIVES names")
        yield None, path
        return
    url = f"{base.rstrip('/')}/{name}"
    path = cache.cache_root() / "downloads" / name
    if not path.is_file():
        if _is_offline():
            raise LookupError(
                f"HF_HUB_OFFLINE is set. Without it, {url} would be downloaded to {str(path)!r}"
            )
        download(url, path)
    try:
        yield url, path
    except ValueError as error:
        path.unlink()
        raise ValueError(f"{error}\nThe download was removed; the next try starts anew.") from error
    path.unlink()


def _is_offline():
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _check_tensorflow():
    """Asks for TensorFlow before gigabytes are downloaded for it."""
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(
            "converting DeepLab2's checkpoint needs TensorFlow: "
            'pip install "keras-deeplab[tensorflow]". The converted preset does not'
        )
