import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keras_deeplab.data.tf_example import decode_example, encode_example

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)
FEATURES = st.dictionaries(
    st.text(max_size=20),
    st.one_of(
        st.lists(st.binary(max_size=300), max_size=4),
        st.lists(INT64, max_size=4),
        st.lists(FLOAT32, max_size=4),
    ),
    max_size=5,
)
MESSAGE = encode_example(
    {
        "image/encoded": [b"\x89PNG" + bytes(200)],
        "image/height": [1024],
        "scores": [0.5, -1.0],
        "ids": [-1, 7],
        "none": [],
    }
)


def plain(features):
    return {name: [bytes(v) if isinstance(v, memoryview) else v for v in features[name]] for name in features}


@pytest.fixture(scope="module")
def tf_example():
    """The message's own class, of TensorFlow."""
    return pytest.importorskip("tensorflow").train.Example


def by_tensorflow(message):
    features = {}
    for name, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        features[name] = list(getattr(feature, kind).value) if kind else []
    return features


@given(FEATURES)
def test_features_survive(features):
    assert plain(decode_example(encode_example(features))) == features


def test_byte_strings_are_not_copied():
    data = encode_example({"image/encoded": [b"abc"]})
    (value,) = decode_example(data)["image/encoded"]
    assert value.obj is data


def test_the_bytes_are_those_of_protocol_buffers():
    expected = bytes.fromhex("0a0f0a0d0a016812081a060a0480088001")
    assert encode_example({"h": [1024, 128]}) == expected


def test_the_order_is_that_of_the_names():
    assert encode_example({"b": [1], "a": [2]}) == encode_example({"a": [2], "b": [1]})


@given(FEATURES)
def test_tensorflow_reads_the_same(tf_example, features):
    message = tf_example.FromString(encode_example(features))
    assert by_tensorflow(message) == features


@given(FEATURES)
def test_what_tensorflow_writes_is_read(tf_example, features):
    message = tf_example()
    for name, values in features.items():
        feature = message.features.feature[name]
        if values and isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif values and isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    assert plain(decode_example(message.SerializeToString())) == features


def test_empty_messages_have_no_features():
    assert decode_example(b"") == {}


@pytest.mark.parametrize(
    ("message", "features"),
    [
        # Integers and floats one by one, not packed.
        ("0a0d0a0b0a016112061a0408070801", {"a": [7, 1]}),
        ("0a0e0a0c0a0161120712050d0000803f", {"a": [1.0]}),
        # A name that comes twice: the last counts.
        ("0a160a090a016112041a0208010a090a016112041a020802", {"a": [2]}),
        # Bytes, then integers in one feature: the last kind counts.
        ("0a100a0e0a016112090a030a01781a020805", {"a": [5]}),
        # A feature in two parts, and features in two parts.
        ("0a110a0f0a016112041a02080112041a020802", {"a": [1, 2]}),
        ("0a0b0a090a016112041a0208010a0b0a090a016212041a020802", {"a": [1], "b": [2]}),
        # Neither name nor value.
        ("0a020a00", {"": []}),
        # Unknown fields of all types.
        ("10052100000000000000002d000000003a0161", {}),
    ],
)
def test_all_forms_that_protocol_buffers_allow_are_read(tf_example, message, features):
    data = bytes.fromhex(message)
    assert by_tensorflow(tf_example.FromString(data)) == features
    assert plain(decode_example(data)) == features


def test_truncated_messages_are_refused_wherever_they_end():
    for length in range(1, len(MESSAGE)):
        with pytest.raises(ValueError, match=r"ends early|does not end"):
            decode_example(MESSAGE[:length])


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("00", "there is no field 0"),
        ("0b", "field 1 has the unknown type 3"),
        ("0f", "field 1 has the unknown type 7"),
        ("0aff", "does not end"),
        ("0affffffffffffffffffff01", "does not end"),
        ("80808080808001", "there is no field"),
        ("0a05", "field 1 ends early"),
        ("0a050a030a01ff", "utf-8"),
        ("0a0b0a090a0161120412020a01", "field 1 ends early"),
        ("0a0d0a0b0a0161120612040a020000", "list of floats ends early"),
    ],
)
def test_malformed_messages_are_described(message, problem):
    with pytest.raises(ValueError, match=problem):
        decode_example(bytes.fromhex(message))


@given(st.lists(st.tuples(st.integers(0, len(MESSAGE) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_messages_are_refused_or_read_as_tensorflow_reads_them(tf_example, changes):
    data = bytearray(MESSAGE)
    for position, value in changes:
        data[position] = value
    check_against_tensorflow(tf_example, bytes(data))


@given(st.binary(max_size=60))
@example(b"\x0a\x06\x0a\x04\x0a\x02\xc3\x28")
def test_random_bytes_are_refused_or_read_as_tensorflow_reads_them(tf_example, data):
    check_against_tensorflow(tf_example, data)


def check_against_tensorflow(tf_example, data):
    try:
        ours = plain(decode_example(data))
    except ValueError as error:
        if not re.search("unknown type [34]", str(error)):  # obsolete groups, which Example never had
            with pytest.raises(Exception, match="parsing"):
                tf_example.FromString(data)
        return
    theirs = by_tensorflow(tf_example.FromString(data))
    # The protobuf of Python drops entries that have unknown fields.
    assert theirs.keys() <= ours.keys()
    for name in theirs:
        np.testing.assert_equal(ours[name], theirs[name])


@pytest.mark.parametrize("values", [["text"], [2**63], [b"a", 1], [None], [1.0, 2]])
def test_values_of_other_kinds_are_refused(values):
    with pytest.raises(ValueError, match=r"Feature 'a' must be a list of bytes, of floats or of int64"):
        encode_example({"a": values})
