import html

from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.evaluation.report.markup import Markup, element, join


def test_text_is_escaped_and_markup_is_not():
    assert element("p", "1 < 2 ", element("b", '"&'), None) == "<p>1 &lt; 2 <b>&quot;&amp;</b></p>"


def test_attributes_are_escaped_renamed_and_left_out():
    made = element("td", class_="a b", aria_label='"><script>', title=None, colspan=3)
    assert made == '<td class="a b" aria-label="&quot;&gt;&lt;script&gt;" colspan="3"></td>'


def test_iterables_follow_each_other():
    assert element("tr", (element("td", text) for text in "ab"), ["c", ["<"]]) == (
        "<tr><td>a</td><td>b</td>c&lt;</tr>"
    )


def test_elements_without_content_have_no_end():
    assert element("img", alt="") == '<img alt="">'


@given(st.text())
def test_any_text_comes_back(text):
    written = join([text])
    assert isinstance(written, Markup)
    assert html.unescape(written) == text
    assert not set("<>\"'") & set(written)
