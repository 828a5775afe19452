"""The command line `keras-deeplab`. Each command is a module with `EXAMPLES`, `add_arguments` and `run`,
or with `COMMANDS` of its own, and perhaps the one of them that is its `DEFAULT`.

What a command found goes to standard output, everything else to standard error. Backends load only once
a command needs a model, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from keras_deeplab.cli import convert, data, demo, evaluate, presets, segment, train
from keras_deeplab.version import __version__

COMMANDS = {
    "segment": segment,
    "train": train,
    "evaluate": evaluate,
    "presets": presets,
    "convert": convert,
    "data": data,
    "demo": demo,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: sequence of str. The words after `keras-deeplab`; those of the process when `None`.

    Returns:
        The exit code: 0 fine, 1 failed. Wrong usage ends the process with 2, as argparse does.

    Example:
    ```python
    main(["segment", "street.jpg", "--output", "outputs"])
    ```
    """
    words = _with_default(sys.argv[1:] if arguments is None else list(arguments))
    options = _parser().parse_args(words)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1


def _with_default(words):
    """The words with the default command of a group where they name a group alone, or with options."""
    default = getattr(COMMANDS.get(words[0]), "DEFAULT", None) if words else None
    if default and (len(words) == 1 or (words[1].startswith("-") and words[1] not in ("-h", "--help"))):
        return [words[0], default, *words[1:]]
    return words


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-deeplab",
        description="Panoptic segmentation with the DeepLab family.",
        epilog="`keras-deeplab COMMAND --help` shows the options and examples of a command.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_commands(parser, COMMANDS, "keras-deeplab")
    return parser


def _add_commands(parser, modules, prefix):
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in modules.items():
        summary = module.__doc__.strip()
        command = commands.add_parser(
            name,
            help=summary[0].lower() + summary.rstrip(".")[1:],
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if hasattr(module, "COMMANDS"):
            if hasattr(module, "DEFAULT"):
                command.epilog = f"`{prefix} {name}` alone is `{prefix} {name} {module.DEFAULT}`."
            _add_commands(command, module.COMMANDS, f"{prefix} {name}")
            continue
        examples = [f"  {prefix} {name} {words}".rstrip() for words in module.EXAMPLES]
        command.epilog = "\n".join(["examples:", *examples])
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
