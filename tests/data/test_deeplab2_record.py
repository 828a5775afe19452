import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.deeplab2_record import DeepLab2Record, clean_panoptic, encode_sample
from keras_deeplab.data.tf_example import decode_example, encode_example
from keras_deeplab.labels import CITYSCAPES, LabelSpace

# Void inside of the classes as in COCO, and instances beyond 16 bits as in SemanticKITTI.
SMALL = LabelSpace("small", ("void", "cat", "grass"), things=(1,), ignore_label=0, label_divisor=256)
LARGE = LabelSpace("large", ("car", "road"), things=(0,), ignore_label=255, label_divisor=65536)

IMAGE = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14
PANOPTIC = np.array([[7000, 13001, 13002], [255000, 11000, 18999]], np.int32)
DEPTH = np.array([[0, 0.5, 1], [80.25, 1 / 256, 655]], np.float32)
SAMPLE = {"image": IMAGE, "panoptic": PANOPTIC, "name": "aachen_000000_000019"}
VIDEO = {**SAMPLE, "name": "0001/000012", "sequence": "0001", "frame": 12}
NEXT = {**VIDEO, "next_image": IMAGE[::-1], "next_panoptic": PANOPTIC[::-1], "depth": DEPTH}
PREVIOUS = {**VIDEO, "previous_image": IMAGE[::-1], "previous_panoptic": PANOPTIC[::-1]}

RECORD = {
    "image/encoded": [cv2.imencode(".png", IMAGE[..., ::-1])[1].tobytes()],
    "image/filename": [b"aachen_000000_000019"],
    "image/format": [b"png"],
    "image/height": [2],
    "image/width": [3],
    "image/channels": [3],
    "image/segmentation/class/encoded": [PANOPTIC.astype("<i4").tobytes()],
    "image/segmentation/class/format": [b"raw"],
}
LABEL = "image/segmentation/class/encoded"


def assert_equal(sample, expected):
    assert sample.keys() == expected.keys()
    for field, value in expected.items():
        np.testing.assert_array_equal(sample[field], value, err_msg=field)
        assert getattr(sample[field], "dtype", None) == getattr(value, "dtype", None), field


def decode(features, label_space=CITYSCAPES, camera=None, **options):
    record = DeepLab2Record(encode_example(features), "a.tfrecord, record 7", camera)
    return record.sample(label_space, **options)


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


# Reading


def test_samples_hold_image_map_and_name():
    assert_equal(decode(RECORD), SAMPLE)
    assert decode(RECORD)["panoptic"].flags.writeable


def test_jpeg_images_are_read():
    data = cv2.imencode(".jpg", np.full((2, 3, 3), 100, np.uint8))[1].tobytes()
    image = decode({**RECORD, "image/encoded": [data], "image/format": [b"jpeg"]})["image"]
    np.testing.assert_allclose(image.astype(int), 100, atol=2)


def test_labels_that_are_pngs_hold_classes():
    classes = np.array([[0, 13, 18], [255, 11, 7]], np.uint8)
    record = {**RECORD, LABEL: [png(classes)], "image/segmentation/class/format": [b"png"]}
    expected = {**SAMPLE, "panoptic": classes.astype(np.int32) * 1000}
    assert_equal(decode(record), expected)
    del record["image/segmentation/class/format"]
    assert_equal(decode(record), expected)


def test_neighbours_and_depth_are_read():
    other_image, other_map = png(IMAGE[::-1, :, ::-1]), PANOPTIC[::-1].tobytes()
    depth = np.array([[0, 128, 256], [20544, 1, 655 * 256]], "<i4")
    video = {**RECORD, "image/filename": [b"000012.png"]}
    video |= {"video/sequence_id": [b"0001"], "video/frame_id": [b"000012"]}
    assert_equal(decode(video), VIDEO)
    video |= {"image/depth/encoded": [depth.tobytes()], "image/depth/format": [b"raw"]}
    two_frames = {"next_image/encoded": [other_image], f"next_{LABEL}": [other_map]}
    assert_equal(decode(video | two_frames), NEXT)
    two_frames = {"prev_image/encoded": [other_image], f"prev_{LABEL}": [other_map]}
    expected = {**PREVIOUS, "depth": np.array([[0, 0.5, 1], [80.25, 1 / 256, 255.25]], np.float32)}
    depth[1, 2] = 65344
    video["image/depth/encoded"] = [png(depth.astype(np.uint16))]
    assert_equal(decode(video | two_frames), expected)


@pytest.mark.parametrize(
    ("file_name", "sequence", "name"),
    [
        ("000000142238", None, "000000142238"),
        ("a/b_leftImg8bit.png", None, "a/b"),
        ("000012.png", "0001", "0001/000012"),
        ("000100.jpg", "0001", "0001/000100"),
        ("000003_000001_leftImg8bit.png", "000003", "000003_000001"),
        ("0001/000012", "0001", "0001/000012"),
        ("0001", "0001", "0001"),
    ],
)
def test_names_tell_the_sequence(file_name, sequence, name):
    record = {**RECORD, "image/filename": [file_name.encode()]}
    if sequence is not None:
        record["video/sequence_id"] = [sequence.encode()]
    assert decode(record)["name"] == name


@pytest.mark.parametrize(
    ("text", "frame"), [("000012", 12), ("3_frame_7", 7), ("1507217660763", 1507217660763)]
)
def test_frames_are_numbers(text, frame):
    assert decode({**RECORD, "video/frame_id": [text.encode()]})["frame"] == frame


def test_images_or_labels_alone_need_nothing_of_the_others():
    assert decode({**RECORD, LABEL: [b"damaged"]}, labels=False).keys() == {"image", "name"}
    assert decode({**RECORD, "image/encoded": [b"damaged"]}, images=False).keys() == {"panoptic", "name"}


def test_cameras_are_read_one_by_one():
    record = {
        name if name in ("image/filename", "image/format", "image/channels") else f"{name}/front": value
        for name, value in RECORD.items()
    }
    record |= {"image/encoded/rear": [png(IMAGE[:1])], "image/height/rear": [1], "image/width/rear": [3]}
    record |= {"video/sequence_id": [b"7"], "video/frame_id": [b"3"]}
    assert DeepLab2Record(encode_example(record), "").cameras == ["front", "rear"]
    front = {**SAMPLE, "name": "7/aachen_000000_000019/front", "sequence": "7", "frame": 3, "camera": "front"}
    assert_equal(decode(record, camera="front"), front)
    assert decode(record, camera="rear", labels=False)["image"].shape == (1, 3, 3)
    with pytest.raises(ValueError, match=r"record 7 has no 'image/encoded/left'. It has: .*front, .*rear"):
        decode(record, camera="left")


@pytest.mark.parametrize("space", [CITYSCAPES, SMALL, LARGE])
def test_stuff_and_void_have_no_instances(space):
    stuff, void = space.stuff[0] * space.label_divisor, space.void
    thing = space.things[0] * space.label_divisor
    largest = space.label_divisor - 1
    ids = np.array([[stuff, stuff + largest, void, void + largest, thing, thing + largest]])
    expected = np.array([[stuff, stuff, void, void, thing, thing + largest]], np.int32)
    clean = clean_panoptic(ids, space)
    np.testing.assert_array_equal(clean, expected)
    assert clean.dtype == np.int32


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[7000, 19000, 254001]], "`panoptic` holds the class 19, 254, .* label space 'cityscapes'"),
        ([[-1]], r"holds the class -1,"),
        ([[2**31 - 1]], "holds the class 2147483,"),
        ([[0.5]], "`panoptic` must hold integers"),
        ([0], r"`panoptic` must have the shape \[height, width\]"),
        (np.zeros((0, 3), int), "must be a non-empty integer array"),
    ],
)
def test_unknown_classes_are_named(ids, message):
    with pytest.raises(ValueError, match=message):
        clean_panoptic(np.array(ids), CITYSCAPES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image/filename": None},
            r"record 7 has no 'image/filename'. It has: image/channels, image/encoded",
        ),
        ({"image/encoded": None}, r"record 7 has no 'image/encoded'"),
        ({"image/height": None}, r"record 7 has no 'image/height'"),
        ({LABEL: None}, r"record 7 has no label. Pass labels=None"),
        ({"image/height": [2, 2]}, r"record 7: 'image/height' does not hold one integer"),
        ({"image/height": [b"2"]}, r"record 7: 'image/height' does not hold one integer"),
        ({"image/filename": [3]}, r"record 7: 'image/filename' does not hold one byte string"),
        ({"image/filename": [b"\xff"]}, r"record 7: 'image/filename' is no text"),
        ({"image/height": [0]}, r"record 7 has an image size of 0x3"),
        ({"image/height": [3]}, r"'image/encoded' is 2x3, but 'image/height' and 'image/width' say 3x3"),
        ({"image/encoded": [b""]}, r"record 7, image/encoded is empty"),
        ({"image/encoded": [RECORD["image/encoded"][0][:-9]]}, r"record 7, image/encoded is truncated"),
        ({"image/encoded": [b"pixels"]}, r"record 7, image/encoded is not an image of a known format"),
        ({LABEL: [PANOPTIC.tobytes()[:-1]]}, r"class/encoded' has 23 bytes. It is no PNG, .* of 2x3 has 24"),
        ({LABEL: [b""]}, r"class/encoded' has 0 bytes"),
        ({LABEL: [png(IMAGE)]}, r"is a PNG of shape \(2, 3, 3\). Expected: \(2, 3\)"),
        ({LABEL: [png(IMAGE[:1, :, 0])]}, r"is a PNG of shape \(1, 3\). Expected: \(2, 3\)"),
        ({LABEL: [png(IMAGE[..., 0])[:-5]]}, r"record 7, image/segmentation/class/encoded is truncated"),
        (
            {LABEL: [png(np.full((2, 3), 19, np.uint8))]},
            "record 7, image/segm.*holds the class 19, .*'cityscapes'",
        ),
        ({LABEL: [PANOPTIC.astype(">i4").tobytes()]}, "record 7, image/segm.*holds the class .*'cityscapes'"),
        ({f"next_{LABEL}": [b"12"]}, r"'next_image/segmentation/class/encoded' has 2 bytes"),
        ({"prev_image/encoded": [png(IMAGE[:1])]}, r"'prev_image/encoded' is 1x3"),
        ({"image/depth/encoded": [b"12"]}, r"record 7: 'image/depth/encoded' has 2 bytes"),
        (
            {"image/depth/encoded": [np.full(6, -1, "<i4").tobytes()]},
            r"holds negative values, the least is -1",
        ),
        ({"video/frame_id": [b"last"]}, r"record 7: 'video/frame_id' has no number: 'last'"),
    ],
)
def test_broken_records_are_named(change, message):
    record = {name: value for name, value in {**RECORD, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        decode(record)


def test_other_data_are_named():
    with pytest.raises(ValueError, match=r"record 7 is no valid tf.train.Example: .*"):
        DeepLab2Record(b"\xff\xff", "a.tfrecord, record 7")


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_records_are_refused_or_read(changes):
    data = bytearray(encode_sample(NEXT, CITYSCAPES))
    for position, value in changes:
        data[int(position * len(data))] = value
    try:
        sample = DeepLab2Record(bytes(data), "a.tfrecord, record 7").sample(CITYSCAPES)
    except ValueError as error:
        assert "record 7" in str(error)  # noqa: PT017
    else:
        assert sample["panoptic"].shape == sample["image"].shape[:2]


# Writing


@pytest.mark.parametrize(
    "sample", [SAMPLE, VIDEO, NEXT, PREVIOUS], ids=["image", "video", "next", "previous"]
)
def test_all_variants_survive(sample):
    assert_equal(DeepLab2Record(encode_sample(sample, CITYSCAPES), "").sample(CITYSCAPES), sample)


def test_the_features_are_those_of_deeplab2():
    features = {
        name: [bytes(v) if isinstance(v, memoryview) else v for v in values]
        for name, values in decode_example(encode_sample(SAMPLE, CITYSCAPES)).items()
    }
    assert features == RECORD


def test_samples_without_label_survive():
    sample = {"image": IMAGE, "name": "a"}
    record = DeepLab2Record(encode_sample(sample, CITYSCAPES), "")
    assert record.label_format is None
    assert_equal(record.sample(CITYSCAPES, labels=False), sample)


@st.composite
def panoptic_maps(draw, space):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    things = [c * space.label_divisor + i for c in space.things for i in (0, 1, space.label_divisor - 1)]
    stuff = [c * space.label_divisor for c in space.stuff]
    values = draw(
        st.lists(
            st.sampled_from([space.void, *things, *stuff]),
            min_size=shape[0] * shape[1],
            max_size=shape[0] * shape[1],
        )
    )
    return np.array(values, np.int32).reshape(shape)


@pytest.mark.parametrize("space", [CITYSCAPES, SMALL, LARGE])
@given(data=st.data())
def test_maps_of_all_label_spaces_survive(space, data):
    panoptic = data.draw(panoptic_maps(space))
    sample = {"image": np.zeros((*panoptic.shape, 3), np.uint8), "panoptic": panoptic, "name": "a"}
    raw = DeepLab2Record(encode_sample(sample, space), "")
    assert raw.label_format == "raw"
    np.testing.assert_array_equal(raw.panoptic(space), panoptic)
    semantic = DeepLab2Record(encode_sample(sample, space, panoptic=False), "")
    assert semantic.label_format == "png"
    divisor = space.label_divisor
    np.testing.assert_array_equal(semantic.panoptic(space), panoptic // divisor * divisor)


@given(st.floats(0, 8e6, width=32))
def test_depth_survives_to_half_a_step(metres):
    depth = np.full((2, 3), metres, np.float32)
    record = DeepLab2Record(encode_sample({**VIDEO, "depth": depth}, CITYSCAPES), "")
    np.testing.assert_allclose(record.sample(CITYSCAPES)["depth"], depth, rtol=1e-6, atol=1 / 512)


def test_jpeg_changes_little():
    sample = {**SAMPLE, "image": np.full((2, 3, 3), (200, 100, 50), np.uint8)}
    data = encode_sample(sample, CITYSCAPES, image_format="jpeg")
    assert bytes(decode_example(data)["image/format"][0]) == b"jpeg"
    image = DeepLab2Record(data, "").sample(CITYSCAPES)["image"]
    np.testing.assert_allclose(image.astype(int), sample["image"], atol=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "needs an image and a name"),
        ({"image": None}, r"An image must have shape .* Received: \(\)"),
        ({"image": np.zeros((2, 3, 5))}, "An image must have shape"),
        ({"panoptic": PANOPTIC[:1]}, r"`panoptic` has shape \(1, 3\), but the image is 2x3"),
        ({"panoptic": PANOPTIC * 1.0}, "`panoptic` must hold integers"),
        ({"panoptic": PANOPTIC * 0 + 19000}, "`panoptic` holds the class 19, .*'cityscapes'"),
        ({"depth": DEPTH[0]}, r"`depth` has shape \(3,\), but the image is 2x3"),
        ({"depth": -DEPTH}, "`depth` must be in metres"),
        ({"depth": DEPTH + np.nan}, "`depth` must be in metres"),
        ({"depth": DEPTH + np.inf}, "`depth` must be in metres"),
        ({"depth": DEPTH + 2**23}, "`depth` must be in metres"),
        ({"sequence": "0001"}, "needs a `sequence` and the number of the `frame`"),
        ({"next_image": IMAGE}, "needs a `sequence` and the number of the `frame`"),
        ({"sequence": "a", "frame": 1, "next_image": IMAGE[:1]}, r"`next_image` has shape \(1, 3, 3\)"),
    ],
)
def test_samples_that_cannot_be_written_are_described(change, message):
    with pytest.raises(ValueError, match=message):
        encode_sample({**SAMPLE, **change}, CITYSCAPES)


def test_samples_without_image_are_refused():
    with pytest.raises(ValueError, match="needs an image and a name"):
        encode_sample({"name": "a", "panoptic": PANOPTIC}, CITYSCAPES)


def test_pngs_have_no_room_for_classes_beyond_255():
    space = LabelSpace("many", [f"class {i}" for i in range(300)], label_divisor=1, ignore_label=299)
    with pytest.raises(ValueError, match=r"holds 0\.\.255. Received: panoptic with class 299"):
        encode_sample({**SAMPLE, "panoptic": PANOPTIC * 0 + 299}, space, panoptic=False)


# DeepLab2's own decoder, in TensorFlow's functions


def decode_as_deeplab2(data, panoptic=True, neighbour=None, video=False, depth=False):
    tf = pytest.importorskip("tensorflow")
    string, integer = tf.io.FixedLenFeature((), tf.string), tf.io.FixedLenFeature((), tf.int64)
    features = dict.fromkeys(["image/encoded", "image/filename", "image/format", LABEL], string)
    features |= dict.fromkeys(["image/height", "image/width", "image/channels"], integer)
    if video:
        features |= dict.fromkeys(["video/sequence_id", "video/frame_id"], string)
    if neighbour:
        features |= dict.fromkeys([f"{neighbour}_image/encoded", f"{neighbour}_{LABEL}"], string)
    if depth:
        features["image/depth/encoded"] = string
    parsed = tf.io.parse_single_example(data, features)

    def decoded_map(name):
        if not panoptic:
            return tf.io.decode_image(parsed[name], channels=1)[..., 0].numpy()
        shape = [parsed["image/height"], parsed["image/width"]]
        return tf.reshape(tf.io.decode_raw(parsed[name], tf.int32), shape).numpy()

    result = {}
    for name, value in parsed.items():
        if name.endswith("image/encoded"):
            result[name] = tf.io.decode_image(value, channels=3, expand_animations=False).numpy()
        elif name.endswith("encoded"):
            result[name] = decoded_map(name)
        else:
            result[name] = value.numpy()
    return result


def test_deeplab2_reads_images_with_labels():
    result = decode_as_deeplab2(encode_sample(SAMPLE, CITYSCAPES))
    expected = {name: value[0] for name, value in RECORD.items() if name != "image/segmentation/class/format"}
    assert_equal_arrays(result, {**expected, "image/encoded": IMAGE, LABEL: PANOPTIC})


def test_deeplab2_reads_semantic_labels():
    result = decode_as_deeplab2(encode_sample(SAMPLE, CITYSCAPES, panoptic=False), panoptic=False)
    np.testing.assert_array_equal(result[LABEL], PANOPTIC // 1000)


def test_deeplab2_reads_previous_frames():
    result = decode_as_deeplab2(encode_sample(PREVIOUS, CITYSCAPES), neighbour="prev", video=True)
    np.testing.assert_array_equal(result["prev_image/encoded"], IMAGE[::-1])
    np.testing.assert_array_equal(result[f"prev_{LABEL}"], PANOPTIC[::-1])
    assert (result["video/sequence_id"], result["video/frame_id"]) == (b"0001", b"000012")
    assert result["image/filename"] == b"000012"


def test_deeplab2_reads_next_frames_and_depth():
    result = decode_as_deeplab2(encode_sample(NEXT, CITYSCAPES), neighbour="next", video=True, depth=True)
    np.testing.assert_array_equal(result["next_image/encoded"], IMAGE[::-1])
    np.testing.assert_array_equal(result[f"next_{LABEL}"], PANOPTIC[::-1])
    np.testing.assert_array_equal(result["image/depth/encoded"] / 256, DEPTH)


def assert_equal_arrays(result, expected):
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(result[name], value, err_msg=name)
