import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.evaluation.report.examples import choose_examples, load_examples

SCORES = st.lists(st.one_of(st.floats(0, 1), st.just(math.nan), st.none()), max_size=30)


def rows(scores):
    return [{"name": f"image {i}", "index": i, "pq": score} for i, score in enumerate(scores)]


def test_the_worst_and_the_best():
    assert choose_examples(rows([0.7, 0.2, 0.4, 0.9, 0.1]), count=2) == [4, 1, 0, 3]


def test_another_number():
    per_image = [{"index": 0, "pq": 0.1, "miou": 0.9}, {"index": 1, "pq": 0.5, "miou": 0.2}]
    assert choose_examples(per_image, key="miou") == [1, 0]


def test_indices_are_those_of_the_rows():
    assert choose_examples([{"index": 7, "pq": 0.5}, {"index": 3, "pq": 0.4}]) == [3, 7]


def test_none_of_no_images_and_none_wanted():
    assert choose_examples([]) == []
    assert choose_examples(rows([0.5, 0.6]), count=0) == []


@given(SCORES, st.integers(0, 6))
def test_no_image_twice_none_without_a_score_and_none_left_out_is_worse_or_better(scores, count):
    chosen = choose_examples(rows(scores), count)
    known = {i: score for i, score in enumerate(scores) if score is not None and not math.isnan(score)}
    assert len(chosen) == len(set(chosen)) == min(2 * count, len(known))
    assert set(chosen) <= set(known)
    assert [known[i] for i in chosen] == sorted(known[i] for i in chosen)
    for i in set(known) - set(chosen):
        assert all(known[j] <= known[i] for j in chosen[:count])
        assert all(known[j] >= known[i] for j in chosen[count:])


@given(SCORES, st.randoms())
def test_the_order_of_the_rows_does_not_matter(scores, random):
    shuffled = rows(scores)
    random.shuffle(shuffled)
    assert choose_examples(shuffled) == choose_examples(rows(scores))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"the number 'ap'\. Choose one of: pq"):
        choose_examples(rows([0.5]), key="ap")
    with pytest.raises(ValueError, match="must not be negative"):
        choose_examples(rows([0.5]), count=-1)


def test_examples_have_truth_and_prediction():
    rng = np.random.default_rng(0)
    reader = [
        {"image": rng.integers(0, 256, (2, 3, 3), np.uint8), "panoptic": np.full((2, 3), i)} for i in range(9)
    ]
    per_image = [{"index": i, "name": f"image {i}", "miou": i / 10} for i in range(9)]
    examples = list(load_examples({"per_image": per_image}, reader, lambda s: s["panoptic"] + 1, count=2))
    assert [example["name"] for example in examples] == ["image 0", "image 1", "image 7", "image 8"]
    assert [example["score"] for example in examples] == [0.0, 0.1, 0.7, 0.8]
    assert {example["metric"] for example in examples} == {"miou"}
    np.testing.assert_array_equal(examples[2]["truth"], np.full((2, 3), 7))
    np.testing.assert_array_equal(examples[2]["prediction"], np.full((2, 3), 8))
    np.testing.assert_array_equal(examples[2]["image"], reader[7]["image"])


def test_nothing_measured_per_image_gives_no_examples():
    assert list(load_examples({"per_image": [{"index": 0, "name": "a"}]}, [None], None)) == []
