"""Two of DeepLab2's archives with reference weights, for tests."""

from keras_deeplab.hub.preset_table import find_entry
from tests.archive_server import write_object_checkpoint
from tests.reference_weights import ReferenceCheckpoint
from tests.references import load_manifest

GOLDEN = "cityscapes__panoptic_deeplab__mobilenet_v3_small_os16"
MODEL = find_entry("mobilenet_v3_small_cityscapes")
BACKBONE = find_entry("mobilenet_v3_small_imagenet1k")
# Folders of the full reference set. Weights do not depend on the output stride.
REAL = {MODEL.name: "panoptic_mobilenet_v3_small_os32", BACKBONE.name: "imagenet_mobilenet_v3_small_encoder"}


def write_checkpoint(entry, folder):
    """The checkpoint of an entry with reference weights, as TensorFlow writes it."""
    keys = {
        key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): value
        for key, value in ReferenceCheckpoint(load_manifest(GOLDEN)).items()
        if entry is MODEL or key.startswith("encoder/")
    }
    write_object_checkpoint(folder / "ckpt-1", keys)


def offer(server, entry, content):
    """Lets a server have the content of an entry's archive."""
    server.files[entry.archive], server.etags[entry.archive] = content, '"one"'
