"""What processes do with the memory that they free."""

from __future__ import annotations

import numpy as np

_LARGEST = 31 * 2**20  # bytes; glibc adapts to no block above 32 MB


def keep_memory() -> None:
    """Makes glibc keep freed memory for the next images and maps.

    A process that makes and frees one image after another otherwise gives the memory back each time and gets
    new pages, which the system has to clear first. glibc keeps twice the largest block that was freed so far,
    so freeing one is enough. With another C library this changes nothing.

    Example:
    ```python
    with concurrent.futures.ProcessPoolExecutor(initializer=keep_memory) as pool:
        ...
    ```
    """
    block = np.empty(_LARGEST, np.uint8)
    del block
