"""A disk that is full, for tests of what is written."""

import contextlib
import resource


@contextlib.contextmanager
def no_space(size):
    """A disk on which files have at most so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
