import os

import pytest

from keras_deeplab.evaluation.processes import map_in_order


def square(number):
    return number * number


def end(_):
    os._exit(1)


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_results_come_in_order(processes):
    assert list(map_in_order(square, iter(range(20)), processes)) == [n * n for n in range(20)]


@pytest.mark.parametrize("processes", [0, 2])
def test_few_items_are_taken_ahead(processes):
    taken = []
    results = map_in_order(square, (taken.append(n) or n for n in range(100)), processes)
    assert next(results) == 0
    assert len(taken) <= 1 + 2 * processes
    results.close()


def test_errors_arrive():
    with pytest.raises(TypeError):
        list(map_in_order(square, [1, "two"], 1))


def test_processes_that_end_are_explained():
    with pytest.raises(RuntimeError, match=r"ended unexpectedly.*__main__"):
        list(map_in_order(end, [1], 1))
