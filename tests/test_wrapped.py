"""Answers in a terminal break between words, however they come in pieces."""

import io

import pytest

from cli.wrapped import WrappedText


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (10, "Yes: “A 9\nmm nodule\nin the\nleft\nlung.” [a\n1]\n- next one"),
        (None, "Yes: “A 9 mm nodule in the left lung.” [a 1]\n- next one"),
    ],
)
def test_a_line_is_broken_between_words(columns: int | None, expected: str) -> None:
    stream = io.StringIO()
    show = WrappedText(stream, columns)
    for piece in ("Yes: “A 9 mm nodule", " in the left lung.”", " [a 1]\n", "- next one"):
        show(piece)
    assert stream.getvalue() == expected
