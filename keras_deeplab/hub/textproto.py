"""Reads protobuf's text format, in which DeepLab2's configuration files are written.

There is no schema here: `experiment_options` knows which fields there are and of what kind.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import NamedTuple

CLOSING = {"{": "}", "<": ">"}
_DEEPEST = 100
_TOKEN = re.compile(
    r"""
      (?P<blank> \s+ | \#[^\n]* )
    | (?P<name> [A-Za-z_]\w* )
    | (?P<number> (?: 0[xX][0-9a-fA-F]+ | (?: \d+\.?\d* | \.\d+ ) (?: [eE][+-]?\d+ )? [fF]? ) (?![\w.]) )
    | (?P<string> "(?: [^"\\\n] | \\. )*" | '(?: [^'\\\n] | \\. )*' )
    | (?P<symbol> [{}<>\[\]:,;-] )
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    rb"\\ (?: ([0-7]{1,3}) | [xX]([0-9a-fA-F]{1,2}) | u([0-9a-fA-F]{4}) | U([0-9a-fA-F]{8}) | (.) )",
    re.VERBOSE,
)
_LETTERS = dict(zip(b"abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))


class Identifier(str):
    """A value without quotes: `true`, `inf` or the name of an enumeration's value."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field as it was written.

    Attributes:
        name: str.
        value: int, float, str, `Identifier`, or a list of `Field` for a message.
        line: int. Where its name is, from 1.
    """

    name: str
    value: int | float | str | Identifier | list[Field]
    line: int


def load(path: str | os.PathLike) -> list[Field]:
    """Reads a file in protobuf's text format.

    Args:
        path: path of the file.

    Returns:
        The fields of the file's message in their order. A list (`rates: [3, 6]`) gives one field for each of
        its values, as if the field were repeated.

    Raises:
        ValueError: if the file cannot be read or is malformed; the message says in which line.

    Example:
    ```python
    load("resnet50_os32.textproto")[0].name  # "experiment_name"
    ```
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read {str(path)!r}: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str = "text") -> list[Field]:
    """Reads protobuf's text format from a string.

    Args:
        text: str.
        source: str. What errors call the text.

    Returns:
        As `load`.

    Raises:
        ValueError: if the text is malformed; the message begins with `source` and the line.

    Example:
    ```python
    parse("decoder { atrous_rates: [3, 6] }")[0].value[1]  # Field(name="atrous_rates", value=6, line=1)
    ```
    """
    return _Parser(text, source).fields()


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class _Parser:
    """Recursive descent over the tokens; `self.token` is the next one."""

    def __init__(self, text, source):
        self.source = source
        self.tokens = self._tokens(text)
        self.token = next(self.tokens)

    def _tokens(self, text):
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(line, self._bad_token(text[position:].split("\n", 1)[0]))
            if match.lastgroup != "blank":
                yield _Token(match.lastgroup, match.group(), line)
            line += match.group().count("\n")
            position = match.end()
        while True:
            yield _Token("end", "", line)

    @staticmethod
    def _bad_token(rest):
        if rest[0] in "\"'":
            return f"expected a closing {rest[0]} in the same line, found {rest}"
        return f"expected a name, a value or a bracket, found {rest.split()[0]!r}"

    def _error(self, line, message):
        return ValueError(f"{self.source}:{line}: {message}.")

    def _expected(self, what):
        found = "the end of the file" if self.token.kind == "end" else repr(self.token.text)
        return self._error(self.token.line, f"expected {what}, found {found}")

    def _take(self):
        token, self.token = self.token, next(self.tokens)
        return token

    def _accept(self, *symbols):
        if self.token.kind == "symbol" and self.token.text in symbols:
            return self._take()
        return None

    def fields(self, opening=None, depth=0):
        """The fields up to the bracket that closes `opening`, or to the end of the text."""
        if depth > _DEEPEST:
            raise self._error(opening.line, f"messages are nested deeper than {_DEEPEST}")
        closing = CLOSING[opening.text] if opening else None
        found = []
        while not (closing and self._accept(closing)):
            if self.token.kind == "end" and not opening:
                break
            if self.token.kind != "name":
                end = f" or the {closing!r} that closes line {opening.line}" if opening else ""
                raise self._expected(f"the name of a field{end}")
            name = self._take()
            colon = self._accept(":")
            found += [Field(name.text, value, line) for value, line in self._values(name, colon, depth)]
            self._accept(",", ";")
        return found

    def _values(self, name, colon, depth):
        """Pairs of a field's values and their lines: one, or those of a list."""
        if not self._accept("["):
            yield self._value(name, colon, depth), name.line
            return
        if self._accept("]"):
            return
        while True:
            line = self.token.line
            yield self._value(name, colon, depth), line
            if self._accept("]"):
                return
            if not self._accept(","):
                raise self._expected("',' or ']'")

    def _value(self, name, colon, depth):
        if opening := self._accept(*CLOSING):
            return self.fields(opening, depth + 1)
        if not colon:
            raise self._expected(f"':' or '{{' after {name.text!r}")
        if self.token.kind == "string":
            return self._string()
        sign = -1 if self._accept("-") else 1
        if self.token.kind == "number":
            return sign * self._number(self._take())
        if self.token.kind == "name" and sign == 1:
            return Identifier(self._take().text)
        if self.token.kind == "name" and self.token.text.lower() in ("inf", "infinity", "nan"):
            return -float(self._take().text)
        raise self._expected(f"a value of {name.text!r}")

    def _number(self, token):
        text = token.text
        try:
            if text[:2].lower() == "0x":
                return int(text, 16)
            if text.isdecimal():
                return int(text, 8 if text[0] == "0" else 10)
        except ValueError:
            raise self._error(token.line, f"expected an octal number after the 0, found {text!r}") from None
        return float(text.rstrip("fF"))

    def _string(self):
        """Strings that follow each other are one."""
        line, content = self.token.line, b""
        while self.token.kind == "string":
            token = self._take()
            content += _ESCAPE.sub(lambda match, line=token.line: self._unescape(match, line), _inside(token))
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise self._error(line, f"expected text in UTF-8, found the bytes {content!r}") from None

    def _unescape(self, match, line):
        octal, hexadecimal, *code_points, letter = match.groups()
        if octal or hexadecimal:
            code = int(octal, 8) if octal else int(hexadecimal, 16)
            if code < 256:
                return bytes([code])
        elif letter is None:
            code = int(next(filter(None, code_points)), 16)
            if code < 0x110000 and not 0xD800 <= code < 0xE000:
                return chr(code).encode()
        elif letter[0] in _LETTERS:
            return bytes([_LETTERS[letter[0]]])
        raise self._error(
            line, f"expected an escape sequence, found {match.group().decode(errors='replace')!r}"
        )


def _inside(token):
    return token.text[1:-1].encode()
