"""Which images of an evaluation are worth a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from keras_deeplab.evaluation.report.number_format import is_missing


def choose_examples(per_image: Sequence[dict], count: int = 4, key: str = "pq") -> list[int]:
    """The images that a model does worst and best.

    Args:
        per_image: sequence of dicts with `"index"` (int, the place in the dataset) and numbers, of which more
            is better. Images whose number is NaN, `None` or not there are left out.
        count: int. How many of the worst and how many of the best to choose. Where there are fewer than
            twice as many images, all are chosen, each once.
        key: str. The number to compare, e.g. `"pq"` or `"miou"`. Equal ones are ordered by `"index"`.

    Returns:
        List of int, the indices from the worst to the best.

    Raises:
        ValueError: when `count` is negative or no image has the number.

    Example:
    ```python
    per_image = [{"index": 0, "pq": 0.7}, {"index": 1, "pq": 0.2}, {"index": 2, "pq": 0.4}]
    choose_examples(per_image, count=1)  # [1, 0]
    ```
    """
    if count < 0:
        raise ValueError(f"`count` must not be negative. Received: count={count}")
    if per_image and not any(key in row for row in per_image):
        known = sorted({name for row in per_image for name in row} - {"index", "name"})
        raise ValueError(f"No image has the number {key!r}. Choose one of: {', '.join(known)}")
    scores = {row["index"]: row.get(key) for row in per_image}
    order = sorted((score, index) for index, score in scores.items() if not is_missing(score))
    chosen = order if len(order) <= 2 * count else order[:count] + order[len(order) - count :]
    return [index for _, index in chosen]


def load_examples(
    results: Mapping, reader: Sequence[dict], predict: Callable, count: int = 4
) -> Iterator[dict]:
    """The worst and the best images with truth and prediction, for `write_report`, one at a time.

    Args:
        results: dict as `evaluate` gives it.
        reader: the dataset, with images.
        predict: callable from a sample of the reader to its `Segmentation` or panoptic map.
        count: int. How many of the worst and of the best.

    Yields:
        Dicts as `write_report` takes them. None when no image has a number.

    Example:
    ```python
    results = evaluate(model, reader)
    examples = load_examples(results, reader, lambda sample: model.segment(sample["image"]))
    write_report("report.html", results, model.label_space, examples)
    ```
    """
    scores = {row["index"]: row for row in results["per_image"]}
    key = next((key for key in ("pq", "miou") if any(key in row for row in scores.values())), None)
    for index in choose_examples(results["per_image"], count, key) if key else ():
        sample, row = reader[index], scores[index]
        yield {
            "name": row["name"],
            "image": sample["image"],
            "truth": sample["panoptic"],
            "prediction": predict(sample),
            "score": row[key],
            "metric": key,
        }
