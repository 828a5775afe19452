import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.writers import coco_categories
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace, check_same_classes, generate_colors
from tests.references import DATA, FULL, load_manifest

ADE20K_THINGS = (
    *(
        8,
        9,
        11,
        13,
        15,
        16,
        19,
        20,
        21,
        23,
        24,
        25,
        28,
        31,
        32,
        33,
        34,
        36,
        37,
        38,
        39,
        40,
        42,
        43,
        44,
        45,
        46,
    ),
    *(48, 50, 51, 54, 56, 57, 58, 59, 63, 65, 66, 67, 68, 70, 71, 72, 73, 74, 75, 76, 77, 79, 81, 82, 83, 84),
    *(86, 87, 88, 89, 90, 91, 93, 94, 96, 98, 99, 103, 104, 105, 108, 109, 111, 112, 113, 116, 117, 119, 120),
    *(
        121,
        122,
        124,
        125,
        126,
        127,
        128,
        130,
        131,
        133,
        134,
        135,
        136,
        137,
        138,
        139,
        140,
        143,
        144,
        145,
        147,
    ),
    *(148, 149, 150),
)

# Name -> number of classes, things, ignore label, label divisor.
BUILT_IN = {
    "cityscapes": (19, tuple(range(11, 19)), 255, 1000),
    "coco_panoptic": (134, tuple(range(1, 81)), 0, 256),
    "ade20k_panoptic": (151, ADE20K_THINGS, 0, 1000),
    "camvid": (11, (8, 9, 10), 255, 1000),
    "kitti_step": (19, (11, 13), 255, 1000),
    "motchallenge_step": (7, (4,), 255, 1000),
    "cityscapes_dvps": (19, tuple(range(11, 19)), 32, 1000),
    "semkitti_dvps": (19, tuple(range(8)), 255, 65536),
    "waymo": (29, (2, 3, 4, 5, 8, 9, 10, 11), 0, 100000),
}
MANIFESTS = {
    "coco_panoptic": "coco__panoptic_deeplab__resnet50_os16",
    "ade20k_panoptic": "ade20k__kmax_deeplab__kmax_meta_r50_os32",
    "kitti_step": "kitti__panoptic_deeplab__resnet50_os32",
    "motchallenge_step": "motchallenge__panoptic_deeplab__resnet50_os32",
    "cityscapes_dvps": "cityscapes_dvps__vip_deeplab__resnet50_beta_os32",
    "semkitti_dvps": "semkitti_dvps__vip_deeplab__resnet50_beta_os32",
}


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


def test_all_of_the_datasets_are_built_in():
    assert LABEL_SPACES.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_label_spaces_are_those_of_deeplab2(name):
    space = LabelSpace.create(name)
    facts = (space.num_classes, space.things, space.ignore_label, space.label_divisor)
    assert (space.name, facts) == (name, BUILT_IN[name])


@pytest.mark.skipif(not (FULL / "manifests").is_dir(), reason="needs the full reference set")
@pytest.mark.parametrize("name", MANIFESTS)
def test_built_in_label_spaces_agree_with_the_manifests(name):
    manifest, space = load_manifest(MANIFESTS[name], "full"), LABEL_SPACES[name]
    assert space.num_classes == manifest["num_classes"]
    assert space.ignore_label == manifest["ignore_label"]
    assert space.label_divisor == manifest["label_divisor"]
    assert list(space.things) == manifest["class_has_instances_list"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_void_is_no_category_of_another_class(name):
    space = LABEL_SPACES[name]
    ids = [space.category_id(class_id) for class_id in range(space.num_classes)]
    classes = space.classes_from_categories(np.array(ids))
    np.testing.assert_array_equal(classes, range(space.num_classes))
    unknown = max(ids) + 1
    assert space.classes_from_categories(np.array([unknown])) == space.ignore_label


def test_coco_classes_are_in_the_order_of_their_ids():
    space = LABEL_SPACES["coco_panoptic"]
    assert space.category_ids == tuple(sorted(space.category_ids))
    assert (space.category_ids[0], space.category_ids[-1]) == (0, 200)
    for name, class_id, category in (("person", 1, 1), ("stop sign", 12, 13), ("toothbrush", 80, 90)):
        assert (space.classes[class_id], space.category_id(class_id)) == (name, category)
    assert space.classes[81] == "banner"
    assert space.classes[133] == "rug-merged"


@pytest.mark.skipif(not (DATA / "coco").is_dir(), reason="needs the COCO samples")
def test_coco_classes_are_those_of_its_annotations():
    path = DATA / "coco" / "annotations" / "panoptic_val2017.json"
    official = json.loads(path.read_text())["categories"]
    ours = coco_categories(LABEL_SPACES["coco_panoptic"])
    fields = ("id", "name", "isthing", "color")
    assert [[c[f] for f in fields] for c in ours] == [[c[f] for f in fields] for c in official]


def test_ade20k_categories_are_one_less_than_classes():
    space = LABEL_SPACES["ade20k_panoptic"]
    assert space.category_ids == (255, *range(150))
    picked = {1: "wall", 8: "bed", 13: "person", 21: "car", 90: "television receiver", 150: "flag"}
    assert {class_id: space.classes[class_id] for class_id in picked} == picked
    assert space.colors[1] == (120, 120, 120)
    assert space.colors[150] == (92, 0, 255)


@pytest.mark.parametrize("name", ["kitti_step", "cityscapes_dvps"])
def test_classes_of_cityscapes_are_the_same_everywhere(name):
    space = LABEL_SPACES[name]
    assert (space.classes, space.colors) == (CITYSCAPES.classes, CITYSCAPES.colors)
    assert space.category_ids is None


def test_motchallenge_has_seven_of_the_classes_of_cityscapes():
    space, train_ids = LABEL_SPACES["motchallenge_step"], (1, 2, 8, 10, 11, 12, 18)
    assert space.classes == tuple(CITYSCAPES.classes[c] for c in train_ids)
    assert space.colors == tuple(CITYSCAPES.colors[c] for c in train_ids)


def test_things_come_before_stuff_in_semantic_kitti():
    space = LABEL_SPACES["semkitti_dvps"]
    assert space.classes[:9] == (
        *("car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist"),
        "road",
    )
    assert space.classes[18] == "traffic-sign"
    assert space.colors[0] == (100, 150, 245)


def test_things_of_waymo_are_vehicles_and_people():
    space = LABEL_SPACES["waymo"]
    assert [space.classes[c] for c in space.things] == [
        *("car", "truck", "bus", "other large vehicle", "trailer", "pedestrian", "cyclist", "motorcyclist")
    ]
    assert (space.classes[0], space.classes[20], space.classes[28]) == ("undefined", "road", "static")


CAT = {"id": 17, "name": "cat", "isthing": 1, "color": [255, 77, 255]}
GRASS = {"id": 3, "name": "grass", "isthing": 0, "color": [1, 2, 3], "supercategory": "ground"}


def test_coco_categories_make_a_label_space():
    assert LabelSpace.from_coco([CAT, GRASS], "pets", label_divisor=256) == LabelSpace(
        "pets", ("grass", "cat"), (1,), ((1, 2, 3), (255, 77, 255)), 255, 256, (3, 17)
    )


def test_colors_of_coco_categories_are_all_or_none():
    space = LabelSpace.from_coco([CAT, {"id": 3, "name": "grass", "isthing": 0}])
    assert space.colors == generate_colors(2)


def test_many_coco_categories_leave_room_for_void():
    space = LabelSpace.from_coco([{"id": i, "name": str(i), "isthing": 0} for i in range(300)])
    assert space.ignore_label == 300


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "no categories"),
        ([CAT, {"id": 1, "name": "dog"}], r'needs "id", "name" and "isthing".*dog'),
        (["cat"], r'needs "id", "name" and "isthing".*cat'),
        ([CAT, {**GRASS, "id": 17}], "`category_ids` must hold 2 different ids"),
        ([CAT, {**GRASS, "name": "cat"}], "`classes` must be unique. Repeated: cat"),
    ],
)
def test_malformed_coco_categories_are_named(categories, message):
    with pytest.raises(ValueError, match=message):
        LabelSpace.from_coco(categories)


@given(names, st.data())
def test_coco_categories_survive_the_way_there_and_back(classes, data):
    things = data.draw(st.lists(st.integers(0, len(classes) - 1), unique=True))
    space = LabelSpace("any", classes, things)
    assert LabelSpace.from_coco(coco_categories(space), "any") == dataclasses.replace(
        space, category_ids=tuple(range(len(classes)))
    )


def test_large_category_ids_need_no_large_table():
    ids = np.array([7, 2**31 - 1], np.int64)
    np.testing.assert_array_equal(CITYSCAPES.classes_from_categories(ids), [0, 255])


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("cat", "dog")}, "the model lacks 'dog'"),
        ({"classes": ("cat",), "colors": None}, "classes differ"),
        ({"classes": ("cow", "cat"), "things": (0,)}, "classes, things differ"),
        ({"ignore_label": 254}, "ignore_label differ"),
        ({"name": "others", "colors": ((1, 2, 3),) * 2, "label_divisor": 10, "category_ids": (4, 2)}, None),
    ],
)
def test_a_model_can_be_trained_on_data_of_the_same_classes(changes, message):
    space = LabelSpace("pets", ("cat", "cow"))
    data = dataclasses.replace(space, **changes)
    if message is None:
        check_same_classes(space, data)
        return
    with pytest.raises(ValueError, match=f"labels 'pets', the data 'pets'; {message}. Build the model"):
        check_same_classes(space, data)
