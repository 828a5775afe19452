"""Progress bars on a terminal's standard error; silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator


def progress_bar(items: Iterable, total: int | None = None, description: str = "Working") -> Iterator:
    """Yields `items` one by one and draws a bar meanwhile, if standard error is a terminal.

    Args:
        items: iterable.
        total: int or `None`. Number of items, taken from `len(items)` where it has one.
        description: str. Text before the bar.

    Returns:
        Iterator over the items.

    Example:
    ```python
    for image in progress_bar(["a.png", "b.png"], description="Reading"):
        ...
    ```
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    total = len(items) if total is None and hasattr(items, "__len__") else total
    yield from track(items, description, total=total, console=Console(stderr=True))
