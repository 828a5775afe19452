import math

import pytest

from keras_deeplab.evaluation.report.number_format import format_number, name_number, number_and_unit


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.6128, "percent", "61.3"),
        (1, "percent", "100.0"),
        (0.004, "whole percent", "0"),
        (0.126, "whole percent", "13"),
        (1_234_567, "count", "1,234,567"),
        (0.09124, "number", "0.091"),
        (0.123456789, "exact", "0.123457"),
        (math.inf, "number", "inf"),
        (math.nan, "percent", "-"),
        (math.nan, "exact", "-"),
        (None, "count", "-"),
    ],
)
def test_numbers_as_text(value, style, text):
    assert format_number(value, style) == text


@pytest.mark.parametrize(
    ("key", "short", "style"),
    [
        ("pq", "PQ", "percent"),
        ("pq_things", "PQ things", "percent"),
        ("ap_50", "AP 50", "percent"),
        ("vpq_2", "VPQ 2", "percent"),
        ("dvpq_1_0.25", "DVPQ 1 0.25", "percent"),
        ("rmse", "RMSE", "number"),
        ("rmse_log", "RMSE log", "number"),
        ("tp", "TP", "count"),
        ("my_own", "my_own", "exact"),
    ],
)
def test_names_follow_the_longest_known_beginning(key, short, style):
    assert name_number(key)[:2] == (short, style)


def test_rmse_log_is_no_length():
    assert name_number("rmse").unit == "m"
    assert name_number("rmse_log").unit == ""


def test_a_missing_number_has_no_unit():
    assert number_and_unit("pq", 0.5) == ("50.0", "%")
    assert number_and_unit("pq", math.nan) == ("-", "")
