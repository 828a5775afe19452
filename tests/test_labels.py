import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace, generate_colors


def make(**fields):
    return LabelSpace(
        **({"name": "pets", "classes": ("background", "cat", "dog"), "things": (1, 2)} | fields)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "`name` must be a non-empty string"),
        ({"name": 3}, "`name` must be a non-empty string"),
        ({"classes": ()}, "`classes` must be a sequence of class names"),
        ({"classes": "cat"}, "`classes` must be a sequence of class names"),
        ({"classes": ("cat", "", "dog")}, "`classes` must be a sequence of class names"),
        ({"classes": ("cat", 1, "dog")}, "`classes` must be a sequence of class names"),
        ({"classes": ("cat", "dog", "cat")}, "`classes` must be unique. Repeated: cat"),
        ({"things": (3,)}, "`things` must be indices of the 3 `classes`"),
        ({"things": (-1,)}, "`things` must be an integer >= 0"),
        ({"things": (1.0,)}, "`things` must be an integer >= 0"),
        ({"things": (1, 1)}, "`things` must be unique"),
        ({"colors": [(0, 0, 0)]}, "`colors` must hold 3"),
        ({"colors": [(0, 0, 0), (0, 0), (1, 1, 1)]}, "`colors` must hold 3"),
        ({"colors": [(0, 0, 0), (0, 0, 256), (1, 1, 1)]}, "`colors` must hold 3"),
        ({"ignore_label": -1}, "`ignore_label` must be an integer >= 0"),
        ({"ignore_label": True}, "`ignore_label` must be an integer >= 0"),
        ({"ignore_label": 1}, "`ignore_label` must not be a thing class"),
        ({"label_divisor": 0}, "`label_divisor` must be an integer >= 1"),
        ({"label_divisor": 1000.0}, "`label_divisor` must be an integer >= 1"),
        ({"label_divisor": 1}, "`label_divisor` must be at least 2"),
        ({"label_divisor": 2**23 + 1}, "do not fit into int32"),
        ({"category_ids": (1, 2)}, "`category_ids` must hold 3 different ids"),
        ({"category_ids": (1, 2, 2)}, "`category_ids` must hold 3 different ids"),
        ({"category_ids": (1, 2, -3)}, "`category_ids` must be an integer >= 0"),
    ],
)
def test_malformed_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        make(**fields)


def test_the_largest_label_divisor_that_fits_is_accepted():
    assert make(label_divisor=2**23).void == 255 * 2**23


def test_stuff_needs_no_instance_ids():
    assert make(things=(), label_divisor=1).void == 255


def test_derived_values():
    space = make(ignore_label=0, things=(2,), label_divisor=256)
    assert space.num_classes == 3
    assert space.stuff == (1,)
    assert space.void == 0
    assert space.is_thing.tolist() == [False, False, True]


def test_fields_are_plain_and_frozen():
    space = make(things=np.array([2, 1]), label_divisor=np.int64(100))
    assert space.things == (1, 2)
    assert type(space.things[0]) is type(space.label_divisor) is int
    with pytest.raises(dataclasses.FrozenInstanceError):
        space.name = "zoo"


def test_equal_fields_make_equal_label_spaces():
    assert make() == make(things=[1, 2])
    assert hash(make()) == hash(make(things=[1, 2]))
    assert make() != make(label_divisor=256)


names = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=9, unique=True)


@given(names, st.data())
def test_survives_json(classes, data):
    things = data.draw(st.lists(st.integers(0, len(classes) - 1), unique=True))
    ids = data.draw(
        st.none() | st.lists(st.integers(0, 99), min_size=len(classes), max_size=len(classes), unique=True)
    )
    space = LabelSpace("any", classes, things, category_ids=ids)
    assert LabelSpace.create(json.loads(json.dumps(space.to_dict()))) == space


@given(names, st.data())
def test_categories_translate_back(classes, data):
    ids = data.draw(st.lists(st.integers(0, 99), min_size=len(classes), max_size=len(classes), unique=True))
    space = LabelSpace("any", classes, category_ids=ids)
    categories = [space.category_id(class_id) for class_id in range(len(classes))]
    np.testing.assert_array_equal(space.classes_from_categories(np.array(categories)), range(len(classes)))


def test_unknown_categories_are_void():
    categories = np.array([[7, 0], [26, 200]], np.uint8)
    np.testing.assert_array_equal(CITYSCAPES.classes_from_categories(categories), [[0, 255], [13, 255]])


def test_without_category_ids_classes_are_categories():
    assert make().category_id(2) == 2
    np.testing.assert_array_equal(make().classes_from_categories(np.array([0, 2, 3])), [0, 2, 255])


def test_create_finds_built_in_label_spaces():
    assert LabelSpace.create("cityscapes") is CITYSCAPES
    assert LabelSpace.create(CITYSCAPES) is CITYSCAPES
    with pytest.raises(ValueError, match=r"Unknown label space 'citscapes'.*cityscapes"):
        LabelSpace.create("citscapes")


@pytest.mark.parametrize("name", LABEL_SPACES)
def test_built_in_names_are_their_keys(name):
    assert LABEL_SPACES[name].name == name


@pytest.mark.parametrize("count", [1, 2, 19, 134, 151])
def test_generated_colors_differ(count):
    colors = generate_colors(count)
    assert len(set(colors)) == count
    assert all(0 <= channel <= 255 for color in colors for channel in color)


def test_cityscapes_is_what_its_scripts_say():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    used = sorted((label for label in labels if 0 <= label.trainId < 255), key=lambda label: label.trainId)
    assert tuple(label.name for label in used) == CITYSCAPES.classes
    assert tuple(label.id for label in used) == CITYSCAPES.category_ids
    assert tuple(label.color for label in used) == CITYSCAPES.colors
    assert tuple(label.trainId for label in used if label.hasInstances) == CITYSCAPES.things
    assert (CITYSCAPES.ignore_label, CITYSCAPES.label_divisor, CITYSCAPES.void) == (255, 1000, 255_000)
