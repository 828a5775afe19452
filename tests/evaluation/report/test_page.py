import base64
import html.parser
import io
import json
import math
import pathlib
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data import Cityscapes
from keras_deeplab.evaluation.report import page
from keras_deeplab.evaluation.report.error_picture import draw_errors
from keras_deeplab.evaluation.report.page import write_report
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from keras_deeplab.results import Segmentation
from keras_deeplab.visualization import shade
from tests import references

COCO = LABEL_SPACES["coco_panoptic"]
PETS = LabelSpace(
    "pets", classes=("floor", "cat", "dog"), things=(1, 2), colors=((1, 2, 3), (255, 0, 16), (0, 9, 0))
)
HOSTILE = "</style><script>alert(1)</script>\"'&<b>"
NAN = math.nan


class Page(html.parser.HTMLParser):
    """Reads a page into `root`; every element must be closed, in order."""

    def __init__(self, path):
        super().__init__()
        self.builder, self.open = ET.TreeBuilder(), []
        self.feed(path.read_text("utf-8"))
        self.close()
        assert self.open == []
        self.root = self.builder.close()

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"repeated attribute in {tag}"
        self.builder.start(tag, dict(attrs))
        if tag in ("img", "link", "meta"):
            self.builder.end(tag)
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.builder.end(tag)

    def handle_data(self, data):
        if self.open:
            self.builder.data(data)

    def find(self, path):
        return self.root.find(path)

    def all(self, path):
        return self.root.findall(path)

    def table(self, section, kind="numbers"):
        """The texts of a section's table, a list per row."""
        table = self.find(f".//section[@id='{section}']//table[@class='{kind}']")
        return [[text(cell) for cell in row] for row in table.iter("tr")]


def text(node):
    return "".join(node.itertext())


def write(folder, results, label_space=PETS, examples=(), **options):
    write_report(folder / "report.html", results, label_space, examples, **options)
    return Page(folder / "report.html")


def results(**more):
    return {
        "images": 1234,
        "convention": "official",
        "pq": 0.61284, "sq": 0.8, "rq": 0.75, "pq_things": 0.5, "pq_stuff": 0.9,
        "miou": 0.7, "per_class": {
            "floor": {"pq": 0.9, "sq": 0.95, "rq": 0.97, "tp": 1100, "fp": 3, "fn": 4, "iou": 0.91},
            "cat": {"pq": 0.5, "sq": 0.75, "rq": 0.66, "tp": 20, "fp": 1, "fn": 2, "iou": 0.49, "ap": 0.333},
            "dog": {"pq": NAN, "sq": NAN, "rq": NAN, "tp": 0, "fp": 0, "fn": 0, "iou": None},
        },
        "confusion": [[900, 90, 0, 10], [25, 50, 25, 0], [0, 0, 0, 0]],
        **more,
    }  # fmt: skip


def example(**changes):
    truth = np.zeros((40, 80), np.int32)
    truth[:, 40:] = 1_001
    prediction = truth.copy()
    prediction[:20, :40] = 2_001
    image = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    known = {"name": "aachen", "score": 0.25, "metric": "pq", "image": image, "truth": truth}
    return known | {"prediction": prediction} | changes


def test_headline_numbers(tmp_path):
    more = {
        "ap": 0.312,
        "ap_50": 0.5,
        "stq": 0.6,
        "aq": 0.5,
        "iou": 0.72,
        "vpq": 0.4,
        "vpq_1": 0.45,
        "dstq": 0.3,
    }
    more |= {"dvpq": 0.2, "abs_rel": 0.0912, "rmse": 3.41, "silog": NAN}
    page = write(tmp_path, results(**more))
    tiles = {text(t.find("h3")): t for t in page.all(".//div[@class='tiles']/div")}
    assert {name: text(tile.find("p[@class='value']")) for name, tile in tiles.items()} == {
        "PQ": "61.3 %",
        "mIoU": "70.0 %",
        "AP": "31.2 %",
        "STQ": "60.0 %",
        "VPQ": "40.0 %",
        "DSTQ": "30.0 %",
        "DVPQ": "20.0 %",
        "AbsRel": "0.091",
    }
    parts = {name: [text(part) for part in tile.findall("dl/div/*")] for name, tile in tiles.items()}
    assert parts["PQ"] == ["PQ things", "50.0 %", "PQ stuff", "90.0 %", "SQ", "80.0 %", "RQ", "75.0 %"]
    assert parts["AP"] == ["AP 50", "50.0 %"]
    assert parts["STQ"] == ["AQ", "50.0 %", "IoU", "72.0 %"]
    assert parts["VPQ"] == ["VPQ 1", "45.0 %"]
    assert parts["AbsRel"] == ["RMSE", "3.410 m", "SILog", "-"]


def test_what_was_evaluated(tmp_path):
    page = write(tmp_path, results(model="tiny", dataset="pets val", date="2026-01-31"), title="Pets & co")
    facts = [text(fact) for fact in page.all(".//dl[@class='facts']/div/*")]
    assert dict(zip(facts[::2], facts[1::2], strict=True)) == {
        "Model": "tiny",
        "Dataset": "pets val",
        "Label space": "pets",
        "Classes": "2 things, 1 stuff",
        "Images": "1,234",
        "Convention": "official: crowd regions need not be found",
        "Date": "2026-01-31",
    }
    assert text(page.find("head/title")) == text(page.find(".//h1")) == "Pets & co"


def test_the_table_of_classes(tmp_path):
    page = write(tmp_path, results())
    assert page.table("classes") == [
        ["Class", "Kind", "PQ", "IoU", "SQ", "RQ", "AP", "TP", "FP", "FN"],
        ["floor", "stuff", "90.0", "91.0", "95.0", "97.0", "-", "1,100", "3", "4"],
        ["cat", "thing", "50.0", "49.0", "75.0", "66.0", "33.3", "20", "1", "2"],
        ["dog", "thing", "-", "-", "-", "-", "-", "0", "0", "0"],
        ["All classes", "", "61.3", "70.0", "80.0", "75.0", "", "", "", ""],
        ["Things", "", "50.0", "", "", "", "", "", "", ""],
        ["Stuff", "", "90.0", "", "", "", "", "", "", ""],
    ]


def test_bars_are_as_long_as_their_numbers(tmp_path):
    rows = write(tmp_path, results()).all(".//section[@id='classes']//tbody/tr")
    lengths = [[fill.get("style") for fill in row.iterfind(".//span[@class='track']/span")] for row in rows]
    assert lengths == [["width:90.00%", "width:91.00%"], ["width:50.00%", "width:49.00%"], []]
    assert [s.get("style") for s in rows[1].iterfind(".//span[@class='swatch']")] == ["background:#ff0010"]


def test_the_largest_confusions(tmp_path):
    items = write(tmp_path, results()).all(".//ol[@class='pairs']/li")
    assert [" ".join(text(part) for part in item) for item in items] == [
        "true cat taken for floor 25.0 % of its 100 pixels",
        "true cat taken for dog 25.0 % of its 100 pixels",
        "true floor taken for cat 9.0 % of its 1,000 pixels",
        "true floor taken for void 1.0 % of its 1,000 pixels",
    ]


def test_the_confusion_matrix(tmp_path):
    page = write(tmp_path, results())
    assert page.table("confusion", "matrix") == [
        ["true \\ predicted", "floor", "cat", "dog", "void"],
        ["floor", "90", "9", "", "1"],
        ["cat", "25", "50", "25", ""],
        ["dog", "not in the truth"],
    ]
    rows = page.all(".//table[@class='matrix']/tbody/tr")
    assert [cell.get("style") for cell in rows[1].findall("td")] == [
        *("--share:0.5", "--share:0.71", "--share:0.5", None),
    ]
    assert [cell.get("class") for cell in rows[1].findall("td")] == [None, "right", None, None]


def test_without_mistakes_there_are_no_confusions(tmp_path):
    page = write(tmp_path, results(confusion=np.eye(3, 4, dtype=int).tolist()))
    assert page.find(".//ol[@class='pairs']") is None
    assert "Every pixel has its true class." in text(page.find(".//section[@id='confusion']"))


def test_many_classes_show_the_matrix_of_the_worst(tmp_path):
    n = COCO.num_classes
    confusion = np.zeros((n, n + 1), int)
    confusion[np.arange(1, n), np.arange(1, n)] = 500 + np.arange(1, n)  # the first classes are the worst
    confusion[1:, 133] += 400 - np.arange(1, n)
    confusion[1:, 0] += 100
    per_class = {name: {"iou": 0.5} for name in COCO.classes}
    page = write(tmp_path, {"confusion": confusion.tolist(), "per_class": per_class}, COCO)
    assert len(page.table("classes")) == 1 + 133
    assert len(page.all(".//ol[@class='pairs']/li")) == 10
    head, *rows = page.table("confusion", "matrix dense")
    assert head == ["true \\ predicted", *COCO.classes[1:41], "others", "void"]
    assert [row[0] for row in rows] == list(COCO.classes[1:41])
    assert rows[0][1:] == ["50", *[""] * 39, "40", "10"]
    assert rows[39][-3:] == ["54", "36", "10"]
    assert "The 40 classes with the smallest share of right pixels" in text(page.root)


def test_sequences(tmp_path):
    sequences = {"0001": {"stq": 0.5, "frames": 1000}, "0002": {"stq": NAN, "aq": 0.25, "frames": 2}}
    page = write(tmp_path, {"per_sequence": sequences})
    assert page.table("sequences") == [
        ["Sequence", "STQ", "Frames", "AQ"],
        ["0001", "50.0", "1,000", "-"],
        ["0002", "-", "2", "25.0"],
    ]


def test_semantic_results(tmp_path):
    per_class = {"floor": {"iou": 0.5}, "cat": {"iou": 1}}
    page = write(tmp_path, {"images": 2, "miou": 0.75, "per_class": per_class})
    assert [text(tile.find("h3")) for tile in page.all(".//div[@class='tiles']/div")] == ["mIoU"]
    assert page.table("classes") == [
        *(["Class", "Kind", "IoU"], ["floor", "stuff", "50.0"], ["cat", "thing", "100.0"]),
        ["All classes", "", "75.0"],
    ]
    assert page.find(".//section[@id='confusion']") is None


def test_truth_that_is_all_void(tmp_path):
    nothing = {"images": 1, "pq": NAN, "miou": NAN, "confusion": np.zeros((3, 4), int).tolist()}
    truth = np.full((40, 80), PETS.void, np.int32)
    page = write(tmp_path, nothing, examples=[example(truth=truth, score=NAN)])
    assert [text(p) for p in page.all(".//p[@class='value']")] == ["-", "-"]
    assert page.find(".//section[@id='confusion']") is None
    assert text(page.find(".//article/h3/span[@class='score']")) == "PQ -"
    assert text(page.all(".//figcaption")[3]) == "Errors: no pixel is labelled"


def test_nothing_at_all_is_a_page(tmp_path):
    page = write(tmp_path, {})
    assert page.all(".//section") == page.all(".//nav") == []


def test_every_single_number_is_listed(tmp_path):
    page = write(tmp_path, {"pq": 1 / 3, "my_own": 12.5, "lost": None, "model": "tiny"})
    rows = [[text(cell) for cell in row] for row in page.all(".//details//tbody/tr")]
    assert rows == [["pq", "0.333333"], ["my_own", "12.5"], ["lost", "-"]]


def decode(figure):
    kind, data = figure.find("img").get("src").split(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return np.asarray(picture)


def test_examples_are_rows_of_pictures_in_the_given_order(tmp_path):
    smooth = np.full((40, 80, 3), 120, np.uint8)
    examples = (example(name=name, image=smooth) for name in ("worst", "best"))
    page = write(tmp_path, {}, examples=examples)
    titles = [[text(span) for span in h3] for h3 in page.all(".//article/h3")]
    assert titles == [["worst", "PQ 25.0 %"], ["best", "PQ 25.0 %"]]
    figures = page.all(".//article")[0].findall(".//figure")
    captions = ["Image", "Truth", "Prediction", "Errors: 25.0 % of the labelled pixels"]
    assert [text(figure.find("figcaption")) for figure in figures] == captions
    assert [figure.find("img").get("alt") for figure in figures] == [f"{c} (worst)" for c in captions]
    image, truth, prediction, errors = map(decode, figures)
    np.testing.assert_allclose(image, 120, atol=3)
    expected = draw_errors(smooth, example()["truth"], example()["prediction"], PETS)
    assert np.abs(errors.astype(int) - expected)[::8, ::8].mean() < 4
    for picture, color in ((truth, PETS.colors[0]), (prediction, shade(PETS.colors[2], 1))):
        np.testing.assert_allclose(picture[10, 16], 0.45 * 120 + 0.55 * np.array(color), atol=6)
    assert [text(item) for item in page.all(".//ul[@class='legend']/li")] == ["floor", "cat", "dog"]


@pytest.mark.parametrize(
    ("size", "shown"), [((1024, 2048), (320, 640)), ((1000, 500), (640, 320)), ((30, 40), (30, 40))]
)
def test_pictures_are_shrunk_and_never_enlarged(tmp_path, size, shown):
    maps = np.zeros(size, np.int32)
    large = example(image=np.zeros((*size, 3), np.uint8), truth=maps, prediction=maps)
    for figure in write(tmp_path, {}, examples=[large]).all(".//figure"):
        assert decode(figure).shape == (*shown, 3)
        assert (figure.find("img").get("height"), figure.find("img").get("width")) == tuple(map(str, shown))


def test_predictions_may_be_segmentations(tmp_path):
    panoptic = example()["prediction"]
    forms = (panoptic, Segmentation(panoptic, PETS), Segmentation(None, PETS, semantic=panoptic // 1000))
    pages = [write(tmp_path, {}, examples=[example(prediction=p)]) for p in forms]
    captions = [[text(c) for c in page.all(".//figcaption")] for page in pages]
    assert captions[0] == captions[1] == captions[2]
    assert pages[0].all(".//img")[2].get("src") == pages[1].all(".//img")[2].get("src")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truth": np.zeros((4, 4), int)}, r"Example 'aachen': `image` must be uint8 of shape \(4, 4, 3\)"),
        ({"prediction": np.zeros((40, 80))}, "Example 'aachen': `panoptic` must hold integers"),
        ({"truth": np.full((40, 80), -1)}, "Example 'aachen': .*`truth` holds the class -1"),
        (
            {"image": np.zeros((0, 4, 3), np.uint8)}
            | dict.fromkeys(("truth", "prediction"), np.zeros((0, 4), int)),
            "Example 'aachen': The image has no pixels",
        ),
        ({"prediction": np.full((40, 80), 77_000)}, "Example 'aachen': `prediction` holds the class 77"),
    ],
)
def test_examples_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, {}, examples=[example(**changes)])


def test_an_incomplete_example(tmp_path):
    with pytest.raises(ValueError, match=r"Example 'a': .* Missing: image, score"):
        write(tmp_path, {}, examples=[{"name": "a", "truth": 0, "prediction": 0, "metric": "pq"}])


def test_results_of_other_classes(tmp_path):
    with pytest.raises(ValueError, match="label space 'pets' lacks: fish"):
        write(tmp_path, {"per_class": {"fish": {"pq": 1}}})


def test_a_failure_leaves_the_old_report(tmp_path):
    write(tmp_path, {}, title="old")
    with pytest.raises(ValueError, match="lacks"):
        write(tmp_path, {"per_class": {"fish": {}}})
    assert text(Page(tmp_path / "report.html").find(".//h1")) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_hostile_names_stay_text(tmp_path):
    space = LabelSpace(HOSTILE, classes=(HOSTILE, "cat"), things=(1,))
    page = write(
        tmp_path,
        {
            **dict.fromkeys(("model", "dataset", "date", "convention"), HOSTILE),
            HOSTILE: 0.5,
            f"pq_{HOSTILE}": 0.5,
            "pq": 0.5,
            "per_class": {HOSTILE: {"pq": 0.5, HOSTILE: 1}},
            "per_sequence": {HOSTILE: {"stq": 0.5, HOSTILE: 1}},
            "confusion": [[1, 2, 3], [4, 5, 6]],
        },
        space,
        [example(name=HOSTILE, metric=HOSTILE, prediction=np.zeros((40, 80), int))],
        title=HOSTILE,
    )
    known = {node.tag for node in page.root.iter()}
    assert not known & {"script", "b"}
    assert len(page.all(".//style")) == 1
    assert text(page.find(".//h1")) == text(page.find("head/title")) == HOSTILE
    assert page.table("sequences")[0] == ["Sequence", "STQ", HOSTILE]
    assert page.table("sequences")[1][0] == page.table("classes")[1][0] == HOSTILE
    assert page.find(".//img").get("alt") == f"Image ({HOSTILE})"
    attributes = {name for node in page.root.iter() for name in node.attrib}
    assert not [name for name in attributes if name.startswith("on")]


def test_results_may_come_from_json(tmp_path):
    direct = write(tmp_path, results(), examples=[example()])
    again = write(tmp_path, json.loads(json.dumps(results())), examples=[example()])
    assert ET.tostring(again.root) == ET.tostring(direct.root)


def test_the_page_needs_nothing_else(tmp_path):
    page = write(tmp_path, results(), examples=[example()])
    links = [node.get(key) for node in page.root.iter() for key in ("src", "href") if node.get(key)]
    assert all(link.startswith(("data:", "#")) for link in links)
    targets = {node.get("id") for node in page.root.iter()}
    assert {link[1:] for link in links if link.startswith("#")} == {
        "classes",
        "confusion",
        "examples",
    } & targets
    style = text(page.find(".//style"))
    assert "url(" not in style
    assert "@import" not in style
    policy = page.find("head/meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy.startswith("default-src 'none'")


def test_the_page_can_be_read_aloud(tmp_path):
    page = write(tmp_path, results(per_sequence={"1": {"stq": 1}}), examples=[example()])
    assert page.root.get("lang") == "en"
    assert all(image.get("alt") for image in page.all(".//img"))
    assert {heading.get("scope") for heading in page.all(".//th")} == {"row", "col"}
    assert all(text(table.find("caption")) for table in page.all(".//table"))
    identifiers = [node.get("id") for node in page.root.iter() if node.get("id")]
    assert len(identifiers) == len(set(identifiers))
    assert {node.get("aria-labelledby") for node in page.all(".//section")} <= set(identifiers)


def luminance(color):
    channels = np.array(color) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_from_its_ground_in_light_and_dark():
    style = (pathlib.Path(page.__file__).with_name("page.css")).read_text()
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#\w{6}|\d+ \d+ \d+);", block))
        for block in re.findall(r":root {(.*?)}", style, re.S)
    )
    for colors in (light, light | dark):
        rgb = {
            name: tuple(bytes.fromhex(c[1:])) if c[0] == "#" else tuple(map(int, c.split()))
            for name, c in colors.items()
        }
        for ground in ("page", "surface"):
            assert min(contrast(rgb[t], rgb[ground]) for t in ("text", "muted", "pq")) >= 4.5
        for cell in ("right-cell", "wrong-cell"):
            for share in np.linspace(0, 1, 11):
                shown = share * np.array(rgb[cell]) + (1 - share) * np.array(rgb["surface"])
                assert contrast(rgb["text"], shown) >= 4.5
        assert min(contrast(rgb[bar], rgb["track"]) for bar in ("pq", "iou", "wrong")) >= 3


REAL = references.DATA / "cityscapes"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real images of Cityscapes")
def test_eight_real_examples_stay_small(tmp_path):
    reader = Cityscapes(REAL, split="train")
    examples = (
        example(
            name=s["name"], image=s["image"], truth=s["panoptic"], prediction=np.roll(s["panoptic"], 40, 1)
        )
        for s in (reader[i] for i in range(8))
    )
    page = write(tmp_path, {}, CITYSCAPES, examples)
    assert len(page.all(".//img")) == 32
    assert (tmp_path / "report.html").stat().st_size < 2_500_000
