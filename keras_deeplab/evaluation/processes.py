"""Work in several processes, in order and with bounded memory."""

from __future__ import annotations

import collections
import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

from keras_deeplab.memory import keep_memory

_WAITING_PER_PROCESS = 2


def map_in_order(function: Callable, items: Iterable, processes: int) -> Iterator:
    """Yields `function(item)` for each item, in their order.

    Items are taken from the iterable as the processes come to them, so that few are held at a time.

    Args:
        function: callable of one argument. With processes, it and the items must be picklable.
        items: iterable.
        processes: int. Number of processes; 0 calls the function here.

    Raises:
        RuntimeError: when the processes cannot be started or end.

    Example:
    ```python
    list(map_in_order(str, range(3), processes=0))  # ["0", "1", "2"]
    ```
    """
    if not processes:
        yield from map(function, items)
        return
    # A forked process would share the locks of the backend's threads.
    context = multiprocessing.get_context("spawn")
    waiting = collections.deque()
    with concurrent.futures.ProcessPoolExecutor(processes, context, _start, (function,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(_call, item))
                if len(waiting) > _WAITING_PER_PROCESS * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"The {processes} processes of the evaluation ended unexpectedly. A script that uses them "
                'must keep its own work below `if __name__ == "__main__":`. Otherwise use processes=0.'
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _start(function):
    global _function
    _function = function
    keep_memory()


def _call(item):
    return _function(item)
