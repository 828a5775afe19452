"""Upload a preset folder to the Hugging Face Hub."""

from __future__ import annotations

import argparse
import pathlib

EXAMPLES = (
    "./my_preset hf://me/my_model --license cc-by-4.0",
    "./my_preset hf://my_organisation/my_model --private",
)


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument("folder", metavar="FOLDER", type=pathlib.Path, help="a folder that `train` wrote")
    command.add_argument("address", metavar="ADDRESS", help="hf://me/my_model, or of an organisation")
    command.add_argument("--license", metavar="NAME", help="of the weights, as the Hub names it")
    command.add_argument("--private", action="store_true", help="only its owners see a new repository")


def run(options: argparse.Namespace) -> int:
    import keras_deeplab

    print(
        keras_deeplab.upload_preset(
            options.address, options.folder, private=options.private, license=options.license
        )
    )
    return 0
