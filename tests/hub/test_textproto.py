"""Reading protobuf's text format: every form of it, and errors by line."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st

from keras_deeplab.hub.textproto import Field, Identifier, load, parse


def values(text):
    """Names and values of the fields, without lines."""
    return [(field.name, field.value) for field in parse(text)]


def test_a_file_keeps_names_values_and_lines(tmp_path):
    path = tmp_path / "mine.textproto"
    path.write_text(
        'experiment_name: "mine"\n\n# The network.\nmodel_options {\n  backbone { name: "resnet50" }\n}\n'
    )
    assert load(path) == [
        Field("experiment_name", "mine", 1),
        Field("model_options", [Field("backbone", [Field("name", "resnet50", 5)], 5)], 4),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("- 3", -3),
        ("0", 0),
        ("0x1F", 31),
        ("-0X1f", -31),
        ("017", 15),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-05", 1e-5),
        ("-2.5E+3", -2500.0),
        ("1.5f", 1.5),
        ("10F", 10.0),
        ("-inf", -math.inf),
        ("true", Identifier("true")),
        ("CONSTANT_2", Identifier("CONSTANT_2")),
        ("inf", Identifier("inf")),
    ],
)
def test_scalars(text, value):
    (field,) = parse(f"x: {text}")
    assert field.value == value
    assert type(field.value) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a # b"', "a # b"),
        ("'say \"hi\"'", 'say "hi"'),
        ('"${INIT_CHECKPOINT}"', "${INIT_CHECKPOINT}"),
        (r'"tab\tquote\"newline\nslash\\"', 'tab\tquote"newline\nslash\\'),
        (r'"\a\b\f\r\v\?\'"', "\a\b\f\r\v?'"),
        (r'"\101\7\x41\x7"', "A\x07A\x07"),
        (r'"\303\244 \xc3\xa4 \u00e4 \U0001F697"', "ä ä ä 🚗"),
        ('"straße"', "straße"),
        ('"one " \'two\'\n  "" "three"', "one twothree"),
        # A character may be cut in two by the quotes.
        (r'"\303" "\244"', "ä"),
    ],
)
def test_strings(text, value):
    (field,) = parse(f"x: {text}")
    assert field.value == value
    assert type(field.value) is str


@pytest.mark.parametrize(
    "text",
    [
        "outer { inner: 1 }",
        "outer: { inner: 1 }",
        "outer < inner: 1 >",
        "outer:<inner:1>",
        "outer{inner:1,};",
        "outer { inner: 1; }  # the end",
        "outer\n{\ninner\n:\n1\n}\n",
        "outer { inner: [1] }",
        "outer [{ inner: 1 }]",
    ],
)
def test_spellings_of_a_message(text):
    ((name, inner),) = values(text)
    assert name == "outer"
    assert [(field.name, field.value) for field in inner] == [("inner", 1)]


def test_a_list_repeats_its_field():
    assert parse("rates: [3, 6,\n9] rates: 12") == [
        Field("rates", 3, 1),
        Field("rates", 6, 1),
        Field("rates", 9, 2),
        Field("rates", 12, 2),
    ]
    assert values("low_level: [{ a: 1 }, < a: 2 >]") == [
        ("low_level", [Field("a", 1, 1)]),
        ("low_level", [Field("a", 2, 1)]),
    ]


@pytest.mark.parametrize("text", ["", "  # nothing\n", "rates: []", "rates [ ]"])
def test_nothing(text):
    assert parse(text) == []


def test_an_empty_message():
    assert parse("decoder {}") == [Field("decoder", [], 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb", "mine:2: expected ':' or '{' after 'b', found the end of the file."),
        ("a\n\nb: 1", "mine:3: expected ':' or '{' after 'a', found 'b'."),
        ('name "resnet50"', "mine:1: expected ':' or '{' after 'name', found '\"resnet50\"'."),
        ("a:\n}", "mine:2: expected a value of 'a', found '}'."),
        ("a: -b", "mine:1: expected a value of 'a', found 'b'."),
        ("a: 1 }", "mine:1: expected the name of a field, found '}'."),
        ("\n3: 1", "mine:2: expected the name of a field, found '3'."),
        ("[a.b]: 1", "mine:1: expected the name of a field, found '['."),
        (
            "a {\n b: 1\n",
            "mine:3: expected the name of a field or the '}' that closes line 1, found the end of the file.",
        ),
        ("a <\n b: 1 }", "mine:2: expected the name of a field or the '>' that closes line 1, found '}'."),
        ("a: [1 2]", "mine:1: expected ',' or ']', found '2'."),
        ("a: [1,\n]", "mine:2: expected a value of 'a', found ']'."),
        ("a: 1.2.3", "mine:1: expected a name, a value or a bracket, found '1.2.3'."),
        ("a: 3x", "mine:1: expected a name, a value or a bracket, found '3x'."),
        ("a: 1\nb = 2", "mine:2: expected a name, a value or a bracket, found '='."),
        ("a: 09", "mine:1: expected an octal number after the 0, found '09'."),
        ('a: "open\n"', 'mine:1: expected a closing " in the same line, found "open.'),
        ("a: '", "mine:1: expected a closing ' in the same line, found '."),
        (r'a: "" "\q"', r"mine:1: expected an escape sequence, found '\\q'."),
        (r'a: "\400"', r"mine:1: expected an escape sequence, found '\\400'."),
        (r'a: "\ud800"', r"mine:1: expected an escape sequence, found '\\ud800'."),
        ('a: "\n', 'mine:1: expected a closing " in the same line, found ".'),
        ('a: ""\n"\\xff"', r"mine:1: expected text in UTF-8, found the bytes b'\xff'."),
        ("\n" + "a { " * 102, "mine:2: messages are nested deeper than 100."),
    ],
)
def test_errors_name_the_line_and_what_was_expected(text, message):
    with pytest.raises(ValueError, match=r"^mine:") as error:
        parse(text, "mine")
    assert str(error.value) == message


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "mine.textproto"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert load(path) == [Field("a", 1, 1), Field("b", 2, 2)]


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.textproto"
    path.write_text("a {")
    with pytest.raises(ValueError, match=r"broken\.textproto:1: expected"):
        load(path)
    with pytest.raises(ValueError, match=r"Cannot read '.*missing\.textproto'"):
        load(tmp_path / "missing.textproto")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"Cannot read '.*broken\.textproto'"):
        load(path)


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
SCALARS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
    NAMES.map(Identifier),
)
MESSAGES = st.recursive(
    st.lists(st.tuples(NAMES, SCALARS), max_size=4),
    lambda inner: st.lists(st.tuples(NAMES, st.one_of(SCALARS, inner)), max_size=4),
    max_leaves=12,
)


class Printer:
    """Writes a message in one of its many spellings and notes the line of each field."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""

    def choose(self, *choices):
        return self.draw(st.sampled_from(choices))

    def blank(self, needed=False):
        self.text += self.choose(*([] if needed else [""]), " ", "\n", "\t ", " # a: {\n", "\r\n")

    def message(self, message):
        fields = []
        for name, value in message:
            self.blank()
            line = 1 + self.text.count("\n")
            self.text += name
            is_message = isinstance(value, list)
            self.text += self.choose(":", "") if is_message else ":"
            self.blank()
            if in_list := self.choose(True, False):
                self.text += "["
                self.blank()
                line = 1 + self.text.count("\n")
            fields.append(Field(name, self.value(value), line))
            if in_list:
                self.blank()
                self.text += "]"
            if separator := self.choose("", ",", ";"):
                self.text += separator
            else:
                self.blank(needed=True)
        return fields

    def value(self, value):
        if isinstance(value, list):
            opening, closing = self.choose("{}", "<>")
            self.text += opening
            inner = self.message(value)
            self.blank()
            self.text += closing
            return inner
        is_string = isinstance(value, str) and not isinstance(value, Identifier)
        self.text += self.string(value) if is_string else str(value)
        return value

    def string(self, value):
        if self.choose(True, False):
            return "'" + "".join(f"\\{byte:03o}" for byte in value.encode()) + "'"
        cut = self.choose(0, len(value) // 2)
        escaped = [
            part.replace("\\", "\\\\").replace("\n", r"\n").replace('"', r"\"")
            for part in (value[:cut], value[cut:])
        ]
        return '"' + '" "'.join(escaped) + '"'


@hypothesis.given(MESSAGES, st.data())
def test_what_is_printed_is_read_back(message, data):
    printer = Printer(data.draw)
    fields = printer.message(message)
    assert parse(printer.text) == fields
    assert [type(f.value) for f in parse(printer.text)] == [type(f.value) for f in fields]


@hypothesis.given(
    st.text(st.characters(codec="utf-8")),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), -1),
    st.floats(allow_nan=False),
    st.lists(st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_what_protobuf_prints_is_read(text, positive, negative, number, path, style):
    descriptor = pytest.importorskip("google.protobuf.descriptor_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    message = descriptor.FileDescriptorProto(name=text)
    message.options.optimize_for = descriptor.FileOptions.CODE_SIZE
    option = message.options.uninterpreted_option.add(
        positive_int_value=positive,
        negative_int_value=negative,
        double_value=number,
        string_value=text.encode(),
    )
    option.name.add(name_part=text, is_extension=False)
    message.source_code_info.location.add(path=path)
    names = ("as_one_line", "use_short_repeated_primitives", "pointy_brackets", "as_utf8")
    printed = text_format.MessageToString(message, **dict(zip(names, style, strict=True)))

    fields = {field.name: field.value for field in parse(printed)}
    options = {field.name: field.value for field in fields["options"]}
    values = {field.name: field.value for field in options["uninterpreted_option"]}
    assert fields["name"] == text
    assert options["optimize_for"] == Identifier("CODE_SIZE")
    assert [field.value for field in values["name"]] == [text, Identifier("false")]
    assert (values["positive_int_value"], values["negative_int_value"]) == (positive, negative)
    assert float(values["double_value"]) == number
    assert values["string_value"] == text
    (location,) = fields["source_code_info"]
    assert [field.value for field in location.value] == path
