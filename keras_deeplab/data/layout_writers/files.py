"""The files of a dataset that is being written."""

from __future__ import annotations

from keras_deeplab.data.writers import write_file


class Files:
    """Writes each file once, whole or not at all, and over other content only with `overwrite`."""

    def __init__(self, folder, overwrite):
        self.folder = folder
        self.overwrite = overwrite
        self.written = set()

    def write(self, path, content):
        path = self.folder / path
        if path in self.written:
            raise ValueError(f"an earlier sample has the same file {path}. Give samples different names.")
        self.written.add(path)
        if path.exists() and path.read_bytes() == content:
            return
        if path.exists() and not self.overwrite:
            raise ValueError(f"{path} is there with other content. Pass overwrite=True, or another folder.")
        write_file(path, content)
