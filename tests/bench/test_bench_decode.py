"""``streamkit bench decode``: each way decodes what it says; no test looks at a clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamkit.bench import decode
from streamkit.cli import app
from tests.clips import clip


def test_each_way_decodes_what_it_says(tmp_path: Path) -> None:
    path, report = clip(tmp_path / "clip.mp4", frames=150, gop=50), tmp_path / "bench.json"
    asked = ["bench", "decode", str(path), "--rounds", "1", "--json", str(report)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "times as cheap" in done.output
    told: list[dict[str, Any]] = json.loads(report.read_text())["decode"]
    assert len(told) == 3 * len(decode.WAYS)
    decoded = {(one["sample"], one["way"]): one["decoded"] for one in told}
    names = [way.name for way in decode.WAYS]
    original, camera, with_b = list(dict.fromkeys(one["sample"] for one in told))
    assert [decoded[original, name] for name in names[:3]] == [150, 150, 3]
    assert [decoded[camera, name] for name in names[:3]] == [150, 150, 6]
    assert decoded[with_b, names[1]] < 120
    assert decoded[with_b, names[3]] < 140
    assert all(one["cpu_seconds_per_minute"]["median"] > 0 for one in told)
    assert all(one["ratio"]["median"] == 1 for one in told if one["way"] == names[0])
    assert all(one["passed"] <= 32 for one in told)


def test_what_is_no_video_is_said_plainly(tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_text("no")
    with pytest.raises(ValueError, match=r"no\.mp4: this is no video"):
        decode.samples_of(path, tmp_path)
