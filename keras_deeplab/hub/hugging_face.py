"""Presets on the Hugging Face Hub.

One `snapshot_download` a load, and nothing else: cache, tokens, offline mode, proxies and mirrors are
huggingface_hub's own, set by its environment variables.
"""

from __future__ import annotations

import os
import pathlib
import re
import time

from keras_deeplab.hub.preset_files import CONFIG_FILE, FILE_PATTERNS
from keras_deeplab.version import __version__

SCHEME = "hf://"
LIBRARY = "keras-deeplab"
# Seconds to wait before asking again after the Hub's own failure: the client does so by itself for some of
# its requests, not for the first one and not for files' contents. Files that have arrived stay.
_PAUSES = (1, 3)


def find(preset: str | os.PathLike) -> pathlib.Path:
    """The folder of a preset on the Hub, downloaded where huggingface_hub's cache does not have it.

    A branch is looked up in every load, as huggingface_hub does; without the Hub the cache serves. A commit's
    id that is in the cache asks nothing.

    Args:
        preset: str. `"hf://organisation/name"`, `"hf://organisation/name@revision"`, or the name of a
            published preset, with or without `@revision`: the organisation is then `KERAS_DEEPLAB_ORG` of
            the environment, else `keras-deeplab`.

    Returns:
        Path of a folder with a `config.json`.

    Raises:
        LookupError: with the reason in one line.

    Example:
    ```python
    find("hf://me/my_model@v1")
    ```
    """
    repository, revision = _locate(str(preset))
    folder = pathlib.Path(_download(repository, revision))
    if not (folder / CONFIG_FILE).is_file():
        raise LookupError(f"the repository {repository!r} has no {CONFIG_FILE}: it holds no preset")
    return folder


def split_address(address: str) -> tuple[str, str | None]:
    """The repository and the revision, `None` for the newest, of an `hf://` address.

    Raises:
        ValueError: when it is not an address of a repository.

    Example:
    ```python
    split_address("hf://me/my_model@v1")  # ("me/my_model", "v1")
    ```
    """
    match = re.fullmatch(rf"{SCHEME}([\w.-]+/[\w.-]+)/?(?:@(\S+))?", address)
    if match is None:
        raise ValueError(f"{address!r} is no address of the form 'hf://organisation/name[@revision]'.")
    return match[1], match[2]


def published_repository(name: str) -> str:
    """The repository of a published preset, by the name in its table."""
    return f"{os.environ.get('KERAS_DEEPLAB_ORG') or 'keras-deeplab'}/{name}"


def _locate(preset):
    if preset.startswith(SCHEME):
        try:
            return split_address(preset)
        except ValueError as error:
            raise LookupError(str(error)) from error
    from keras_deeplab.hub.preset_table import find_entry

    name, _, revision = preset.partition("@")
    try:
        return published_repository(find_entry(name).name), revision or None
    except ValueError as error:
        raise LookupError("neither the name of a published preset nor 'hf://organisation/name'") from error


def _download(repository, revision):
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError

    for pause in (*_PAUSES, None):
        try:
            return snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(FILE_PATTERNS),
                library_name=LIBRARY,
                library_version=__version__,
            )
        except (OSError, HTTPError, HFValidationError) as error:
            if pause is None or not _hub_failed(error):
                raise LookupError(_reason(error, repository, revision)) from error
        time.sleep(pause)


def _hub_failed(error):
    """Whether it is a matter of time: a 5xx, or nothing in the cache to fall back on after one."""
    responses = [getattr(e, "response", None) for e in (error, error.__cause__)]
    return any(response is not None and response.status_code >= 500 for response in responses)


def _reason(error, repository, revision):
    """One line on what went wrong, and what to do about it."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    sign_in = "`hf auth login` or HF_TOKEN"
    texts = {
        errors.OfflineModeIsEnabled: f"{repository!r} is not in the local cache, and HF_HUB_OFFLINE is set",
        errors.GatedRepoError: f"access to {repository!r} must be granted to you at {constants.ENDPOINT}/"
        f"{repository}, and a token must be set ({sign_in})",
        errors.RepositoryNotFoundError: f"no repository {repository!r}, or it is private and no token of "
        f"someone who may read it is set ({sign_in})",
        errors.RevisionNotFoundError: f"the repository {repository!r} has no revision {revision!r}",
        errors.HfHubHTTPError: f"the Hub failed on {repository!r}: {_first_line(error)}",
        errors.HTTPError: f"cannot reach {constants.ENDPOINT}: {_first_line(error)}",
    }
    return next((text for kind, text in texts.items() if isinstance(error, kind)), _first_line(error))


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
