"""HTML made of nested elements, with every piece of text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

_WITHOUT_CONTENT = {"img", "link", "meta"}


class Markup(str):
    """Text that is HTML already and is not escaped again."""


def element(tag: str, *children: str | Markup | Iterable | None, **attributes: object) -> Markup:
    """One HTML element.

    Args:
        tag: str. The element's name.
        *children: `Markup` as it is, other strings escaped, iterables of these one after the other; `None`
            is left out.
        **attributes: values are escaped; those that are `None` are left out. A `_` at the end of a name is
            dropped, others become `-`: `class_="wide"`, `aria_hidden="true"`.

    Returns:
        `Markup`.

    Example:
    ```python
    element("p", "1 < 2 ", element("b", "yes"), class_="note")
    # <p class="note">1 &lt; 2 <b>yes</b></p>
    ```
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_CONTENT:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: Iterable) -> Markup:
    """What `element` makes of its children, without an element around them."""
    return Markup("".join(_write(child) for child in children))


def _write(child):
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return html.escape(child) if isinstance(child, str) else join(child)
