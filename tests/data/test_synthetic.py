import concurrent.futures
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deeplab.data import synthetic
from keras_deeplab.data.synthetic import FRAMES_PER_SECOND, WEATHERS, StreetScenes
from keras_deeplab.labels import CITYSCAPES

SMALL = (65, 129)
CLASS = {name: class_id for class_id, name in enumerate(CITYSCAPES.classes)}
STATIC = [CLASS[name] for name in ("building", "wall", "fence", "pole", "vegetation", "road", "sidewalk")]


def scene_of(scenes, number):
    """The scene behind a sample, with its camera and speed."""
    seconds = scenes.frames_per_sequence / FRAMES_PER_SECOND if scenes.frames_per_sequence > 1 else 0.0
    return synthetic._build(scenes.seed, number, scenes.image_size, seconds, scenes.weather)


def test_a_sample_has_the_types_and_shapes_of_a_reader():
    sample = StreetScenes(3, SMALL)[1]
    assert sample.keys() == {"image", "panoptic", "name"}
    assert sample["name"] == "street_0_000001"
    assert (sample["image"].dtype, sample["image"].shape) == (np.uint8, (65, 129, 3))
    assert (sample["panoptic"].dtype, sample["panoptic"].shape) == (np.int32, SMALL)


def test_a_scene_depends_on_seed_and_index_alone():
    first, again = StreetScenes(9, SMALL, seed=4), StreetScenes(5, SMALL, seed=4)
    later = first[3]
    for key in ("image", "panoptic"):
        np.testing.assert_array_equal(again[3][key], later[key])
        assert not np.array_equal(first[2][key], later[key])
        assert not np.array_equal(StreetScenes(9, SMALL, seed=5)[3][key], later[key])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), index=st.integers(0, 10**6))
def test_panoptic_codes_are_valid_and_instances_are_numbered_from_1(seed, index):
    panoptic = StreetScenes(index + 1, (64, 96), seed)[index]["panoptic"]
    codes = np.unique(panoptic)
    classes, instances = codes // 1000, codes % 1000
    assert set(classes) <= {*range(CITYSCAPES.num_classes), CITYSCAPES.ignore_label}
    is_thing = np.isin(classes, CITYSCAPES.things)
    assert not instances[~is_thing].any()
    for thing in set(classes[is_thing]):
        numbers = instances[classes == thing]
        np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(32, 90),
    width=st.integers(32, 90),
    seed=st.integers(0, 10**6),
    weather=st.sampled_from(WEATHERS),
    frame=st.integers(0, 29),
)
def test_samples_of_any_size_and_weather_are_complete(height, width, seed, weather, frame):
    sample = StreetScenes(1, (height, width), seed, 30, depth=True, weather=weather)[frame]
    assert sample["image"].shape == (height, width, 3)
    codes = np.unique(sample["panoptic"])
    is_thing = np.isin(codes // 1000, CITYSCAPES.things)
    assert ((codes % 1000 > 0) == is_thing).all()
    unknown = np.isin(sample["panoptic"] // 1000, (CLASS["sky"], CITYSCAPES.ignore_label))
    np.testing.assert_array_equal(sample["depth"] == 0, unknown)
    assert (sample["depth"][~unknown] >= 0.4).all()
    assert sample["depth"].max() <= 220 + 14 * 3


def test_scenes_show_all_classes_of_cityscapes_and_void():
    unseen = {*range(CITYSCAPES.num_classes), CITYSCAPES.ignore_label}
    scenes = StreetScenes(400, (64, 128))
    for index in range(400):
        unseen -= set(np.unique(scenes.load_panoptic(index) // 1000).tolist())
        if not unseen:
            break
    assert unseen == set()


def test_every_scene_has_a_road_below_the_sky():
    for sample in StreetScenes(20, SMALL):
        rows, classes = np.indices(SMALL)[0], sample["panoptic"] // 1000
        assert rows[classes == CLASS["road"]].mean() > 65 / 2


def test_labels_can_be_had_alone():
    scenes = StreetScenes(2, SMALL, frames_per_sequence=3)
    np.testing.assert_array_equal(scenes.load_panoptic(4), scenes[4]["panoptic"])


def test_iterating_gives_every_scene_once():
    scenes = StreetScenes(3, SMALL)
    assert [s["name"] for s in scenes] == scenes.names == [f"street_0_{i:06d}" for i in range(3)]


def test_negative_indices_count_from_the_end():
    scenes = StreetScenes(3, SMALL)
    assert scenes[-1]["name"] == scenes[2]["name"]


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_outside_of_the_sequence_is_refused(index):
    with pytest.raises(IndexError, match=f"Scene {index} of 3"):
        StreetScenes(3, SMALL)[index]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"count": -1}, "count"),
        ({"count": 1, "image_size": (31, 64)}, "image_size"),
        ({"count": 1, "image_size": 64}, "image_size"),
        ({"count": 1, "image_size": (64, 64, 3)}, "image_size"),
        ({"count": 1, "seed": -1}, "seed"),
        ({"count": 1, "frames_per_sequence": 0}, "frames_per_sequence"),
        ({"count": 1, "frames_per_sequence": 301}, "frames_per_sequence"),
        ({"count": 1, "weather": "hail"}, "weather"),
        ({"count": 1, "weather": ()}, "weather"),
    ],
)
def test_malformed_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"`{named}`"):
        StreetScenes(**arguments)


def test_what_it_is_can_be_printed():
    assert repr(StreetScenes(4, SMALL, seed=2)) == "StreetScenes(4, image_size=(65, 129), seed=2)"
    videos = StreetScenes(4, SMALL, seed=2, frames_per_sequence=5, depth=True, weather=["fog", "rain"])
    assert repr(videos) == (
        "StreetScenes(4, image_size=(65, 129), seed=2, frames_per_sequence=5, depth=True, "
        "weather=('fog', 'rain'))"
    )


# Depth


def test_depth_changes_nothing_else():
    plain, deep = StreetScenes(2, SMALL)[1], StreetScenes(2, SMALL, depth=True)[1]
    assert (deep["depth"].dtype, deep["depth"].shape) == (np.float32, SMALL)
    np.testing.assert_array_equal(deep["image"], plain["image"])
    np.testing.assert_array_equal(deep["panoptic"], plain["panoptic"])


@pytest.mark.parametrize("index", range(6))
def test_the_ground_is_a_plane_below_the_camera(index):
    scenes = StreetScenes(6, SMALL, seed=1, depth=True)
    sample, camera = scenes[index], scene_of(scenes, index).camera
    classes = sample["panoptic"] // 1000
    rows = np.indices(SMALL)[0]
    below = rows - camera.horizon
    # Grass and pavement reach as far; beyond 220 m there is no ground.
    ground = np.isin(classes, [CLASS[name] for name in ("road", "sidewalk", "terrain")]) & (below > 1)
    assert ground.sum() > 1000
    expected = camera.focal * camera.height / below[ground]
    np.testing.assert_allclose(sample["depth"][ground], np.minimum(expected, 220), rtol=1e-4)


def test_people_stand_at_their_distance():
    scenes = StreetScenes(12, (129, 257), depth=True)
    errors = []
    for index in range(12):
        sample, camera = scenes[index], scene_of(scenes, index).camera
        for code in np.unique(sample["panoptic"]):
            mask = sample["panoptic"] == code
            if code // 1000 != CLASS["person"] or mask.sum() < 40:
                continue
            depths = sample["depth"][mask]
            assert np.ptp(depths) < 0.05  # upright, but for a slight lean of the chest
            foot = camera.horizon + camera.focal * camera.height / depths[0]
            errors.append(foot - np.nonzero(mask.any(1))[0][-1])
    # Legs are round at their ends and may be hidden, but never reach into the ground.
    assert len(errors) > 20
    assert min(errors) > -4
    assert (np.abs(errors) < 4).mean() > 0.5


def test_what_hides_something_is_nearer_than_it():
    scenes = StreetScenes(8, (129, 257), depth=True)
    nearer = total = 0
    for sample in scenes:
        classes, depth = sample["panoptic"] // 1000, sample["depth"]
        is_person = classes == CLASS["person"]
        # To the left of a person's edge there is what the person stands in front of, or another object.
        edge = is_person[:, 1:] & np.isin(classes[:, :-1], (CLASS["building"], CLASS["vegetation"]))
        nearer += (depth[:, 1:] < depth[:, :-1])[edge].sum()
        total += edge.sum()
    assert total > 100
    assert nearer > 0.7 * total


# Videos


def test_frames_say_to_which_video_they_belong():
    videos = StreetScenes(2, SMALL, frames_per_sequence=3)
    assert len(videos) == 6
    assert [(s["sequence"], s["frame"]) for s in videos] == [
        (f"street_0_{number:06d}", frame) for number in range(2) for frame in range(3)
    ]
    assert videos.names[4] == videos[4]["name"] == "street_0_000001/000001"
    assert videos.sequences == [s["sequence"] for s in videos]
    assert videos.frames == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("attribute", ["sequences", "frames"])
def test_single_pictures_belong_to_no_video(attribute):
    with pytest.raises(AttributeError, match=f"`{attribute}`"):
        getattr(StreetScenes(2, SMALL), attribute)


def test_frames_are_the_same_in_any_order_from_any_thread_or_process():
    videos = StreetScenes(6, SMALL, frames_per_sequence=4, depth=True, weather=WEATHERS)
    expected = list(videos)
    shuffled = np.random.default_rng(0).permutation(24).tolist()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        got = list(threads.map(pickle.loads(pickle.dumps(videos)).__getitem__, shuffled))
    for index, sample in zip(shuffled, got, strict=True):
        for key in ("image", "panoptic", "depth"):
            np.testing.assert_array_equal(sample[key], expected[index][key])


def test_an_instance_number_belongs_to_one_object():
    videos = StreetScenes(4, (97, 193), frames_per_sequence=12)
    for number in range(4):
        codes = set()
        for frame in range(12):
            codes |= set(np.unique(videos.load_panoptic(12 * number + frame)).tolist())
        classes = {}
        for code in codes:
            if code % 1000:
                classes.setdefault(code % 1000, set()).add(CITYSCAPES.classes[code // 1000])
        assert len(classes) > 5
        # A rider and what is ridden are one object.
        several = [kinds for kinds in classes.values() if len(kinds) > 1]
        assert all(kinds in ({"rider", "bicycle"}, {"rider", "motorcycle"}) for kinds in several)


def test_objects_move_on_smoothly():
    videos = StreetScenes(4, (129, 257), frames_per_sequence=10, depth=True)
    followed = 0
    for number in range(4):
        before = {}
        for frame in range(10):
            sample, now = videos[10 * number + frame], {}
            for code in np.unique(sample["panoptic"]):
                rows, columns = np.nonzero(sample["panoptic"] == code)
                distance = np.median(sample["depth"][rows, columns])
                inside = columns.min() > 0 and columns.max() < 256
                if code % 1000 and len(rows) > 60 and inside and distance > 8:
                    now[code] = np.array([rows.mean(), columns.mean(), distance])
            for code in now.keys() & before.keys():
                moved = np.abs(now[code] - before[code])
                assert moved[0] < 6
                assert moved[1] < 16
                assert moved[2] < 3  # two vehicles that meet at 14 m/s
                followed += 1
            before = now
    assert followed > 100


@pytest.mark.parametrize("number", range(4))
def test_what_stands_still_moves_as_the_camera_does(number):
    videos = StreetScenes(4, (129, 257), seed=3, frames_per_sequence=6, depth=True)
    scene = scene_of(videos, number)
    first, second = videos[6 * number + 1], videos[6 * number + 2]
    rows, columns = np.nonzero(np.isin(first["panoptic"] // 1000, STATIC) & (first["depth"] < 60))
    camera, depth = scene.camera, first["depth"][rows, columns].astype(float)
    x = (columns - camera.center) / camera.focal * depth - camera.bend * depth**2
    y = camera.height - (rows - camera.horizon) / camera.focal * depth
    later = np.stack([x, y, depth - scene.speed / FRAMES_PER_SECOND], 1)
    at = np.rint(camera.project(later)).astype(int)
    inside = (at >= 0).all(1) & (at < (257, 129)).all(1) & (later[:, 2] > 1)
    columns, rows = at[inside].T
    assert inside.sum() > 5000
    error = np.abs(second["depth"][rows, columns] / later[inside, 2] - 1)
    is_still = np.isin(second["panoptic"][rows, columns] // 1000, STATIC)
    assert is_still.sum() > 5000
    assert np.mean(error[is_still] < 0.03) > 0.95
    # Trees and poles are at one distance, so that rounding to pixels does not matter.
    upright = is_still & np.isin(
        second["panoptic"][rows, columns] // 1000, (CLASS["pole"], CLASS["vegetation"])
    )
    assert np.mean(error[upright] < 1e-4) > 0.85
    end_of_street = scene.end - scene.speed * 2 / FRAMES_PER_SECOND
    assert second["depth"].max() == pytest.approx(end_of_street, abs=0.01)


def test_the_cameras_noise_is_new_in_every_frame():
    videos = StreetScenes(3, (129, 257), seed=3, frames_per_sequence=6, weather="dusk")
    assert scene_of(videos, 2).speed == 0
    first, second = videos[12], videos[13]
    both = (first["panoptic"] // 1000 == CLASS["sky"]) & (second["panoptic"] // 1000 == CLASS["sky"])
    assert both.sum() > 500
    difference = first["image"][both].astype(int) - second["image"][both]
    assert abs(difference.mean()) < 1
    assert difference.std() > 1


def test_the_camera_drives_in_most_videos():
    videos = StreetScenes(20, (32, 64), frames_per_sequence=10)
    speeds = [scene_of(videos, number).speed for number in range(20)]
    assert min(speeds) >= 0
    assert max(speeds) < 14
    assert np.mean(np.array(speeds) > 1) > 0.5


# Weather


def test_weather_changes_the_light_but_not_the_street():
    scenes = [StreetScenes(4, SMALL, seed=2, weather=weather)[3] for weather in WEATHERS]
    for sample in scenes[1:]:
        np.testing.assert_array_equal(sample["panoptic"], scenes[0]["panoptic"])
        assert not np.array_equal(sample["image"], scenes[0]["image"])


def test_weather_looks_as_it_is_called():
    images = {w: np.stack([s["image"] for s in StreetScenes(12, SMALL, weather=w)]) for w in WEATHERS}
    brightness = {weather: image.mean() for weather, image in images.items()}
    assert brightness["dusk"] < brightness["rain"] < brightness["sunny"]
    relative = {
        w: (image.std(axis=(1, 2, 3)) / image.mean(axis=(1, 2, 3))).mean() for w, image in images.items()
    }
    assert relative["fog"] < relative["overcast"] < relative["sunny"]


def test_scenes_draw_from_several_weathers():
    mixed = StreetScenes(12, SMALL, weather=("sunny", "fog"))
    alone = {weather: list(StreetScenes(12, SMALL, weather=weather)) for weather in ("sunny", "fog")}
    drawn = [
        [w for w in alone if np.array_equal(alone[w][index]["image"], mixed[index]["image"])]
        for index in range(12)
    ]
    assert {len(matches) for matches in drawn} == {1}
    assert {matches[0] for matches in drawn} == {"sunny", "fog"}
