"""The measurement of recording runs, and its figures belong together."""

from __future__ import annotations

from pathlib import Path

from streamkit.bench.recording import WAYS, Result, run
from tests.clips import clip


def test_recording_is_measured_beside_decoding(tmp_path: Path) -> None:
    results: list[Result] = []

    about = run(clip(tmp_path / "in.mp4", frames=25), 1, results.append)

    assert [result.name for result in results] == list(WAYS)
    assert about["pictures"] == 25
    for result in results:
        figure = result.as_dict()
        assert 0 < figure["percent_of_decoding"]["median"] < 100
