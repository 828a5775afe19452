"""A file that remembers what was counted in each image, so that an evaluation can go on."""

from __future__ import annotations

import io
import json
import os
import pathlib
import sqlite3
from collections.abc import Mapping

import numpy as np

_TABLES = """
CREATE TABLE IF NOT EXISTS identity (content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts (image INTEGER PRIMARY KEY, name TEXT NOT NULL, content BLOB NOT NULL);
"""


class CountStore:
    """The counts of finished images in one SQLite file. Each image is stored whole or not at all.

    Args:
        path: path of the file, made when missing.
        identity: dict of plain values that tell what is evaluated: another evaluation must not go on here.

    Attributes:
        finished: frozenset of int, the images that were stored before this store was opened.

    Raises:
        ValueError: when the file is something else, belongs to another evaluation or is in use.

    Example:
    ```python
    with CountStore("evaluation.sqlite", {"dataset": "cityscapes val"}) as store:
        store.save(0, "aachen_000000_000019", {"miou": {"confusion": np.eye(2, dtype=int)}})
    ```
    """

    def __init__(self, path: str | os.PathLike, identity: Mapping):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self.path)
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.executescript(_TABLES)
            self._claim({key: json.loads(json.dumps(value)) for key, value in identity.items()})
            rows = self._database.execute("SELECT image FROM counts")
            self.finished = frozenset(image for (image,) in rows)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise ValueError(
                f"{self.path} is in use by another evaluation, or not writable: {error}"
            ) from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise ValueError(
                f"{self.path} is no file of an evaluation ({error}). Choose another path."
            ) from error

    def _claim(self, identity):
        stored = self._database.execute("SELECT content FROM identity").fetchone()
        if stored is None:
            with self._database:
                self._database.execute("INSERT INTO identity VALUES (?)", (json.dumps(identity),))
            return
        theirs = json.loads(stored[0])
        different = sorted(key for key in {*identity, *theirs} if identity.get(key) != theirs.get(key))
        if different:
            self._database.close()
            raise ValueError(
                f"{self.path} remembers another evaluation; what differs is: {', '.join(different)}. "
                "Delete it to start again, or choose another path."
            )

    def metrics(self) -> tuple[str, ...]:
        """The metrics that were counted, in their order."""
        _, counts = self.load(min(self.finished))
        return tuple(counts)

    def save(self, image: int, name: str, counts: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Remembers the counts of one image, by metric and name."""
        arrays = {f"{metric}/{name}": a for metric, named in counts.items() for name, a in named.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        with self._database:
            self._database.execute("INSERT INTO counts VALUES (?, ?, ?)", (image, name, buffer.getvalue()))

    def load(self, image: int) -> tuple[str, dict[str, dict[str, np.ndarray]]]:
        """The name and the counts of one finished image."""
        query = "SELECT name, content FROM counts WHERE image = ?"
        name, content = self._database.execute(query, (image,)).fetchone()
        counts = {}
        with np.load(io.BytesIO(content)) as arrays:
            for key in arrays.files:
                metric, _, part = key.partition("/")
                counts.setdefault(metric, {})[part] = arrays[key]
        return name, counts

    def __enter__(self) -> CountStore:
        return self

    def __exit__(self, *_) -> None:
        self._database.close()
