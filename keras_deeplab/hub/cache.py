"""Where presets lie that were fetched once: one folder each, whole or not there."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator

CONFIG_FILE = "config.json"


def cache_root() -> pathlib.Path:
    """The folder of everything fetched: `$KERAS_DEEPLAB_CACHE`, else `keras_deeplab` in the user's cache."""
    if root := os.environ.get("KERAS_DEEPLAB_CACHE"):
        return pathlib.Path(root).expanduser()
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keras_deeplab"


def cached_folder(name: str) -> pathlib.Path | None:
    """The folder of a cached preset, `None` if it is not cached."""
    if not _is_plain(name):
        return None
    folder = cache_root() / "presets" / name
    return folder if (folder / CONFIG_FILE).is_file() else None


def install(name: str, make: Callable[[pathlib.Path], pathlib.Path]) -> pathlib.Path:
    """Puts a preset into the cache, if it is not there yet.

    Of several processes that ask for the same preset one makes it, the others wait. A process that is killed
    leaves nothing that counts as a preset, and the next one clears its remains away.

    Args:
        name: str. Name of the preset.
        make: function from an empty working folder to the finished preset folder somewhere in it.

    Returns:
        Path of the preset's folder.

    Raises:
        ValueError: when the name is not a plain one.

    Example:
    ```python
    install("mine", lambda work: shutil.copytree("./my_preset", work / "preset"))
    ```
    """
    if not _is_plain(name):
        raise ValueError(f"{name!r} cannot be the name of a cached preset: it must be a plain file name.")
    root = cache_root()
    with _locked(name):
        if (folder := cached_folder(name)) is not None:
            return folder
        _remove_abandoned(but=name)
        work = root / "work" / name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            made = make(work)
            target = root / "presets" / name
            target.parent.mkdir(exist_ok=True)
            # Without its configuration, a folder of that name is none of a preset.
            shutil.rmtree(target, ignore_errors=True)
            os.replace(made, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target


def _is_plain(name):
    return re.fullmatch(r"\w[\w.-]*", name) is not None


def _lock(name):
    import filelock

    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / f"{name}.lock")


@contextlib.contextmanager
def _locked(name) -> Iterator[None]:
    """Holds the lock of a preset; the system releases it when the process dies."""
    import filelock

    lock = _lock(name)
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        print(f"Waiting for another process that prepares the preset {name!r}.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _remove_abandoned(but):
    """Removes the working folders of killed processes: those whose lock nobody holds."""
    import filelock

    for work in (cache_root() / "work").glob("*"):
        if work.name == but:
            continue
        with contextlib.suppress(filelock.Timeout), _lock(work.name).acquire(timeout=0):
            shutil.rmtree(work, ignore_errors=True)
