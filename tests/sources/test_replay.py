"""A clip played as a camera: its own pace, round and round, live."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamkit.errors import ConfigError, SourceError
from streamkit.sources import open_source
from streamkit.sources.numbered import decode_number
from tests.clips import clip


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clips") / "short.mp4", frames=20, fps=50, gop=10)


def test_it_goes_round_and_round_without_losing_a_picture(short: Path) -> None:
    source = open_source(f"replay:{short}", speed=4.0)
    with closing(source.read()) as captures:
        seen = [decode_number(c.picture.bgr()) for c in itertools.islice(captures, 70)]  # type: ignore[union-attr]
    assert seen == [number % 20 for number in range(70)]
    assert source.live
    assert source.properties is not None
    assert source.properties.fps == 50


def test_it_keeps_the_pace_of_the_clip_or_the_one_it_is_given(short: Path) -> None:
    given: list[tuple[dict[str, Any], float]] = [
        ({}, 50),
        ({"fps": 25.0}, 25),
        ({"speed": 2.0}, 100),
    ]
    for options, rate in given:
        begun = time.monotonic()
        with closing(open_source(f"replay:{short}", **options).read()) as captures:
            for _ in itertools.islice(captures, 30):
                pass
        assert time.monotonic() - begun >= 28 / rate


def test_it_is_interrupted_while_it_waits(short: Path) -> None:
    source = open_source(f"replay:{short}", fps=0.02)
    threading.Timer(0.2, source.interrupt).start()
    assert len(list(source.read())) <= 1


def test_what_cannot_be_played_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        next(open_source(f"replay:{tmp_path / 'nothing.mp4'}").read())
    with pytest.raises(ConfigError, match="above 0"):
        open_source("replay:x.mp4", speed=0.0)
