"""The numbers of videos and frames in the names of files."""

from __future__ import annotations


def check_video(sample, layout):
    """Raises a ValueError when a sample is no frame of a video."""
    if "sequence" not in sample or "frame" not in sample:
        raise ValueError(
            f"the layout {layout} needs the `sequence` and `frame` of each sample. "
            "StreetScenes has them with frames_per_sequence above 1."
        )


def sequence_number(numbers, sample):
    """The number that is a sequence's name, or the next one."""
    name = str(sample["sequence"])
    return numbers.setdefault(name, int(name) if name.isdecimal() else len(numbers))
