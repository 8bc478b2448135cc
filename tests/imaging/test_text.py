"""Text is right in every script that some font has, and never a row of question marks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streamkit.frame import Image
from streamkit.imaging.layout import blank
from streamkit.imaging.text import Font, written

TEXTS = ("Straße Ümlaut", "摄像头", "カメラ", "카메라", "Дверь", "Πόρτα", "דלת", "باب", "😀 ok")


def put(text: str, scale: float = 1.0, left: int = 10) -> Image:
    image = blank((500, 60))
    Font.sized(scale).put(image, text, left, 40, (255, 255, 255))
    return image


@pytest.mark.parametrize("text", [*TEXTS, "ประตู", "🚗 car", "\U0001fae8"])
def test_no_character_becomes_a_question_mark(text: str) -> None:
    image = put(text)

    assert image.any()
    assert not np.array_equal(image, put("?" * len(text)))
    for one, other in pairwise(text):
        if text in TEXTS and len({one, other, " "}) == 3:
            assert not np.array_equal(put(one), put(other)), f"{one} looks like {other}"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("scale", [0.38, 1.0, 2.0])
def test_a_text_is_as_wide_as_is_said(text: str, scale: float) -> None:
    font = Font.sized(scale)
    image = blank((900, 120))
    font.put(image, text, 10, 80, (255, 255, 255))

    columns = np.flatnonzero(image.any(axis=(0, 2)))
    assert abs(columns.max() - 10 - font.width(text)) <= max(4, 0.12 * font.width(text))


@pytest.mark.parametrize(("left", "bottom"), [(-30, 40), (480, 40), (10, -5), (10, 90), (900, 900)])
@pytest.mark.parametrize("text", ["plain", "😀😀😀", "ไทย"])
def test_what_is_outside_of_the_picture_is_lost_without_ado(
    text: str, left: int, bottom: int
) -> None:
    image = blank((500, 60))
    Font.sized(1.0).put(image, text, left, bottom, (255, 255, 255))


def test_a_sign_that_no_font_has_is_said_in_words() -> None:
    assert Font.sized(1.0).width("\U0001f9ff") > Font.sized(1.0).width("car")


def test_what_cannot_be_seen_is_left_out_and_a_text_is_on_one_line() -> None:
    assert written("a\nb\tc\x00d\u200de") == "a b c de"
    assert written("plain 0.87 #12") == "plain 0.87 #12"
    assert len(written("x" * 5000)) == 120
