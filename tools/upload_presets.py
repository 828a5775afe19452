"""Converts published presets and uploads them to the Hugging Face Hub, each into a repository of its own.

    python tools/upload_presets.py                                    # shows what would be done
    python tools/upload_presets.py --only "*_cityscapes" --upload     # does it

The organisation is KERAS_DEEPLAB_ORG, else keras-deeplab; HF_TOKEN or `hf auth login` gives the right to
write. What the Hub has already, converted by this version from the same archive, is left alone, so that a run
that was interrupted goes on when it is started again. A preset that fails does not keep the others from it.
"""

import argparse
import collections
import fnmatch
import pathlib
import shutil
import sys
import tempfile

from keras_deeplab.hub import preset_table, registry
from keras_deeplab.hub.cards import PICTURE_FILE, model_card
from keras_deeplab.hub.hugging_face import SCHEME, published_repository
from keras_deeplab.hub.preset_files import METADATA_FILE, TASK_FILE, preset_files, read_json
from keras_deeplab.hub.preset_folder import cast_preset
from keras_deeplab.hub.upload import CARD_FILE, upload_preset
from keras_deeplab.hub.weights_file import DTYPES
from keras_deeplab.version import __version__

# What makes a version of a preset on the Hub the one that would be uploaded.
IDENTITY = ("archive", "keras_deeplab_version", "weights_dtype")


def state_of(entry, weights_dtype):
    """`"planned"`, `"new"`, `"outdated"` or `"up to date"`."""
    if entry.status == "planned":
        return "planned"
    there = published_metadata(published_repository(entry.name))
    if there is None:
        return "new"
    wanted = (entry.archive, __version__, weights_dtype)
    return "up to date" if tuple(map(there.get, IDENTITY)) == wanted else "outdated"


def published_metadata(repository):
    """The `metadata.json` that the Hub has, `None` when it has none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return read_json(pathlib.Path(hf_hub_download(repository, METADATA_FILE)))
    except LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"Cannot ask the Hub about {repository!r}: {error.__cause__ or error}"
        ) from error
    except (RepositoryNotFoundError, EntryNotFoundError):
        return None


def publish(entry, weights_dtype, private, pictures):
    """Converts one preset and uploads it. Returns the address of the commit."""
    source = registry.resolve(entry.name)
    repository = published_repository(entry.name)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for path in preset_files(source):
            shutil.copy(path, folder / path.name)
        cast_preset(folder, weights_dtype)
        if pictures and (folder / TASK_FILE).is_file() and entry.label_space == "cityscapes":
            draw_picture(folder)
        (folder / CARD_FILE).write_text(model_card(folder, repository, entry), encoding="utf-8")
        return upload_preset(SCHEME + repository, folder, private=private)


def draw_picture(folder):
    """Segments a rendered street: a picture of our own is free of others' rights."""
    import keras

    import keras_deeplab as kd
    from keras_deeplab.data.synthetic import demo_street

    model = kd.Segmenter.from_preset(folder)
    model.segment(demo_street()["image"]).save(folder / PICTURE_FILE)
    keras.utils.clear_session()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PATTERN", default="*", help='names, e.g. "*_cityscapes"')
    parser.add_argument("--upload", action="store_true", help="do it; otherwise only show what would be done")
    parser.add_argument("--private", action="store_true", help="new repositories are private")
    parser.add_argument("--weights-dtype", choices=DTYPES, help="store kernels in half precision")
    parser.add_argument("--no-pictures", action="store_true", help="no rendered street in the cards")
    options = parser.parse_args(arguments)

    entries = [e for e in preset_table.preset_entries().values() if fnmatch.fnmatchcase(e.name, options.only)]
    if not entries:
        parser.error(f"no preset matches {options.only!r}")
    # What goes to the Hub must not come from it, nor from a folder that happens to have the preset's name.
    others = (registry.FOLDER, registry.HUB)
    registry.SOURCES = [source for source in registry.SOURCES if source[0] not in others]
    done, failed = collections.Counter(), {}
    for entry in entries:
        try:
            state = state_of(entry, options.weights_dtype)
            if options.upload and state in ("new", "outdated"):
                address = publish(entry, options.weights_dtype, options.private, not options.no_pictures)
                print(f"{entry.name:55} uploaded    {address}", flush=True)
                done["uploaded"] += 1
            else:
                print(f"{entry.name:55} {state:11} {published_repository(entry.name)}", flush=True)
                done[state] += 1
        except Exception as error:
            failed[entry.name] = error
            print(f"{entry.name:55} failed", flush=True)
    print(", ".join(f"{count} {state}" for state, count in done.items()))
    if not options.upload:
        print("Nothing was converted or uploaded: --upload does it.")
    for name, error in failed.items():
        print(f"error: {name}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
