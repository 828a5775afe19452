"""Publishes preset folders on the Hugging Face Hub."""

from __future__ import annotations

import os
import pathlib

from keras_deeplab.hub.cards import model_card
from keras_deeplab.hub.hugging_face import LIBRARY, split_address
from keras_deeplab.hub.preset_files import check_complete, is_preset_file, preset_files
from keras_deeplab.version import __version__

CARD_FILE = "README.md"
# What goes along with a preset when the folder has it.
_EXTRAS = (CARD_FILE, "LICENSE", "picture.png")


def upload_preset(
    address: str,
    folder: str | os.PathLike,
    private: bool = False,
    license: str | None = None,
) -> str:
    """Uploads a preset folder to the Hugging Face Hub, in one commit.

    The repository is made when there is none, and so is a model card when neither the folder nor the
    repository has a `README.md`. Only what is part of the preset is sent, and `README.md`, `LICENSE` and
    `picture.png`; what the Hub has already is not sent again, so that an upload that was interrupted goes on
    when it is called again. Needs a token that may write: `hf auth login` or HF_TOKEN.

    Args:
        address: str. `"hf://me/my_model"`, or `"hf://organisation/my_model"`.
        folder: path. A folder that `save_to_preset` wrote.
        private: bool. For a repository that is made now: only its owners see it.
        license: str. Licence of the weights as the Hub names it, e.g. `"apache-2.0"`, for a card that is made
            now.

    Returns:
        Address of the commit. The 40 digits at its end are the revision that pins this version.

    Raises:
        ValueError: if the folder is no complete preset, or the address is malformed.
        PermissionError: without a token that may write there.

    Example:
    ```python
    model.save_to_preset("./my_preset", weights_dtype="float16")
    upload_preset("hf://me/my_model", "./my_preset", license="cc-by-4.0")
    ```
    """
    repository, revision = split_address(address)
    if revision is not None:
        raise ValueError(f"{address!r}: uploads go to the main branch. Leave '@{revision}' out.")
    folder = pathlib.Path(folder).expanduser()
    check_complete(folder)

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi(library_name=LIBRARY, library_version=__version__)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        return _commit(api, repository, folder, license)
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        response = getattr(error, "response", None)
        if response is not None and response.status_code not in (401, 403):
            raise
        raise PermissionError(
            f"Cannot write to {repository!r} on the Hugging Face Hub: set a token that may, with "
            "`hf auth login` or HF_TOKEN."
        ) from error


def _commit(api, repository, folder, license):
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = api.model_info(repository)
    names = {file.rfilename for file in there.siblings}
    files = {path.name: path for path in preset_files(folder)}
    files |= {name: folder / name for name in _EXTRAS if (folder / name).is_file()}
    if CARD_FILE not in files and CARD_FILE not in names:
        files[CARD_FILE] = model_card(folder, repository, license=license).encode()
    # Shards, say, of an earlier version.
    stale = {name for name in names if is_preset_file(name)} - files.keys()
    operations = [
        *(CommitOperationAdd(name, content) for name, content in files.items()),
        *(CommitOperationDelete(name) for name in sorted(stale)),
    ]
    # The commit before: a second upload at the same time fails instead of mixing with this one.
    commit = api.create_commit(
        repository, operations, commit_message="Upload preset", parent_commit=there.sha
    )
    return commit.commit_url
