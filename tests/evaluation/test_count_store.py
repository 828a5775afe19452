import subprocess
import sys

import numpy as np
import pytest

from keras_deeplab.evaluation.count_store import CountStore

COUNTS = {
    "pq": {"iou": np.array([0.5, 0.25]), "true_positives": np.array([1, 2])},
    "stq": {"sequence": np.array(["0001", "strasse"]), "weights": np.ones((2, 3), np.float32)},
}


def test_counts_come_back_as_they_were(tmp_path):
    with CountStore(tmp_path / "store", {"a": 1}) as store:
        assert store.finished == frozenset()
        store.save(3, "image", COUNTS)
    with CountStore(tmp_path / "store", {"a": 1}) as store:
        assert store.finished == {3}
        assert store.metrics() == ("pq", "stq")
        name, counts = store.load(3)
    assert name == "image"
    for metric, arrays in COUNTS.items():
        for key, array in arrays.items():
            assert counts[metric][key].dtype == array.dtype
            np.testing.assert_array_equal(counts[metric][key], array)


def test_another_identity_is_refused(tmp_path):
    CountStore(tmp_path / "store", {"a": 1, "b": [1, 2], "c": None}).__exit__()
    CountStore(tmp_path / "store", {"a": 1, "b": (1, 2), "c": None}).__exit__()
    with pytest.raises(ValueError, match="what differs is: b, d"):
        CountStore(tmp_path / "store", {"a": 1, "b": [1], "d": 0})


def test_another_file_is_refused_and_stays(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, not counts. " * 100)
    with pytest.raises(ValueError, match=r"notes\.txt is no file of an evaluation"):
        CountStore(path, {})
    assert path.read_text() == "These are notes, not counts. " * 100


def test_one_evaluation_at_a_time(tmp_path):
    with CountStore(tmp_path / "store", {}) as store:
        store.save(0, "image", COUNTS)
        with pytest.raises(ValueError, match="in use by another evaluation"):
            CountStore(tmp_path / "store", {})


def test_a_killed_process_leaves_what_it_had_stored(tmp_path):
    script = (
        "import os, signal, numpy as np\n"
        "from keras_deeplab.evaluation.count_store import CountStore\n"
        f"store = CountStore({str(tmp_path / 'store')!r}, {{}})\n"
        "for image in range(50):\n"
        "    store.save(image, str(image), {'miou': {'confusion': np.full((20, 20), image)}})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    with CountStore(tmp_path / "store", {}) as store:
        assert store.finished == set(range(50))
        _, counts = store.load(49)
    assert (counts["miou"]["confusion"] == 49).all()
