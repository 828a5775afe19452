import pathlib
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from keras_deeplab.memory import keep_memory

keep_memory()
np.ones(8 * 2**20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(8 * 2**20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_freed_memory_is_used_again():
    root = pathlib.Path(__file__).parents[1]
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    # Without it there are hundreds of new pages.
    assert int(done.stdout) < 100
