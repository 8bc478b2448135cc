"""What is kept on disk: by age, size and free space, and never anybody else's file."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamkit.errors import ConfigError, SinkError
from streamkit.recording.archive import Archive, Limits
from streamkit.recording.naming import event_path, plain, time_path

DAY = 86_400.0
NOW = 1_800_000_000.0


def filled(folder: Path, ends: Sequence[float], limits: Limits, size: int = 1000) -> Archive:
    """An archive with a file for each of these ends."""
    archive = Archive(folder, "segments", limits)
    for number, end in enumerate(ends):
        path = archive.folder / "street" / f"{number}.mp4"
        archive.begin(path, end - 60)
        path.write_bytes(bytes(size))
        archive.finish(path, end)
    return archive


def there(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob("*.mp4"))


def test_what_is_too_old_is_deleted(tmp_path: Path) -> None:
    archive = filled(tmp_path, [NOW - 3 * DAY, NOW - 2.1 * DAY, NOW - DAY], Limits(days=2))

    assert archive.prune(NOW) == 2
    assert there(tmp_path) == ["2"]


def test_what_is_too_much_is_deleted_the_oldest_first(tmp_path: Path) -> None:
    archive = filled(tmp_path, [NOW - 5, NOW - 9, NOW - 7], Limits(gigabytes=2.5e-6))

    assert archive.prune(NOW) == 1
    assert there(tmp_path) == ["1", "2"]


class Crowded(Archive):
    """On a disk on which 1500 bytes too few are free."""

    def _lacking(self) -> float:
        return 1500.0


def test_room_is_made_until_enough_is_free(tmp_path: Path) -> None:
    filled(tmp_path, [NOW - 5, NOW - 4, NOW - 3], Limits())

    assert Crowded(tmp_path, "segments", Limits(free_gigabytes=1)).prune(NOW) == 2
    assert there(tmp_path) == ["2"]


def test_a_disk_with_too_little_room_keeps_nothing(tmp_path: Path) -> None:
    archive = filled(tmp_path, [NOW - 5, NOW - 4], Limits(free_gigabytes=1e9))

    assert archive.prune(NOW) == 2


def test_what_it_did_not_write_is_left_alone(tmp_path: Path) -> None:
    archive = filled(tmp_path / "here", [NOW - 3 * DAY], Limits(days=1))
    for name in ("here/street/wedding.mp4", "elsewhere.mp4"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "here" / "street" / "link.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    with archive.index.open("a") as index:
        for name in ("../elsewhere.mp4", str(tmp_path / "elsewhere.mp4"), "street/link.mp4"):
            line = {"file": name, "start": "2020-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z"}
            index.write(json.dumps(line) + "\n")

    archive.close()
    Archive(tmp_path / "here", "segments", Limits(days=1)).prune(NOW)

    assert there(tmp_path) == ["elsewhere", "link", "wedding"]


def test_what_is_being_written_is_left_alone(tmp_path: Path) -> None:
    archive = Archive(tmp_path, "segments", Limits(days=1))
    path = archive.folder / "street" / "now.mp4"
    archive.begin(path, NOW - 9 * DAY)
    path.write_bytes(b"half")

    assert archive.prune(NOW) == 0
    assert archive.left_behind() == [(path, NOW - 9 * DAY)]


def test_the_next_process_knows_what_there_is(tmp_path: Path) -> None:
    filled(tmp_path, [NOW - 3 * DAY, NOW - DAY], Limits()).begin(tmp_path / "new.mp4", NOW)
    with (tmp_path / "segments.jsonl").open("ab") as index:
        index.write(b'{"file": "cut o')

    archive = Archive(tmp_path, "segments", Limits(days=2))
    archive.begin(tmp_path / "newer.mp4", NOW)

    assert archive.prune(NOW) == 1
    assert [path.name for path, _ in archive.left_behind()] == ["new.mp4", "newer.mp4"]
    known = [entry.file for entry in Archive(tmp_path, "segments", Limits()).entries]
    assert known == ["street/1.mp4", "new.mp4", "newer.mp4"]


def test_what_somebody_else_is_writing_is_no_rest_of_a_crash(tmp_path: Path) -> None:
    first = filled(tmp_path, [NOW - 3 * DAY], Limits(days=1))
    first.begin(tmp_path / "now.mp4", NOW)

    second = Archive(tmp_path, "segments", Limits(days=1))
    assert second.left_behind() == []
    assert second.prune(NOW) == 0
    first.close()
    assert second.prune(NOW) == 1, "it works on alone"


def test_an_index_that_names_what_lies_elsewhere_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    folder = tmp_path / "clips"
    folder.mkdir()
    line = {"file": "../precious", "start": "2027-01-01T00:00:00Z", "end": None}
    (folder / "clips.jsonl").write_text(json.dumps(line) + "\n")
    assert Archive(folder, "clips", Limits()).left_behind() == []


def test_after_a_clock_was_set_back_the_oldest_goes_first(tmp_path: Path) -> None:
    times = [NOW, NOW + 60, NOW - 30 * DAY, NOW - 30 * DAY + 60]
    archive = filled(tmp_path, times, Limits(gigabytes=2000 / 1e9))
    assert archive.prune(NOW) == 2
    assert [entry.end for entry in archive.entries] == times[2:]


def test_a_machine_that_learns_the_time_later_deletes_nothing_for_that(tmp_path: Path) -> None:
    archive = filled(tmp_path, [60.0], Limits(days=7))
    (entry,) = archive.entries
    entry.clock -= time.time() - 61.0  # it was 1970 then
    assert archive.prune(time.time()) == 0
    archive.close()

    after_a_restart = Archive(tmp_path, "segments", Limits(days=7))
    assert after_a_restart.prune(time.time()) == 0
    assert after_a_restart.prune(time.time() + 8 * DAY) == 1


def test_its_index_does_not_grow_for_ever(tmp_path: Path) -> None:
    archive = filled(tmp_path, [NOW - 3 * DAY + n for n in range(400)], Limits(days=1), size=1)
    archive.prune(NOW)
    filled(tmp_path, [NOW], Limits())

    lines = archive.index.read_text().splitlines()

    assert len(lines) == 2
    assert json.loads(lines[-1])["bytes"] == 1000


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SinkError, match="file"):
        Archive(tmp_path / "file" / "below", "clips", Limits())
    with pytest.raises(ConfigError, match="days"):
        Limits(days=0)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "rtsp://***@cam/live", "/", "..", "", "a" * 300, "Straße 5"]
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    path = event_path("clips", name, name, ".mp4")

    assert path.parts[0] == "clips"
    assert len(path.parts) == 3
    assert ".." not in path.parts
    assert len(path.name) < 120


def test_names_are_plain_and_stay_apart() -> None:
    assert plain("gate-1") == "gate-1"
    assert plain("a/b") != plain("a_b") != plain("a:b")
    assert time_path("x", "gate", NOW + 0.25, ".mp4").name == "20270115T080000.250Z.mp4"


def test_a_stream_whose_name_is_no_text_is_in_the_index_like_any_other(tmp_path: Path) -> None:
    archive = Archive(tmp_path, "segments", Limits())
    archive.begin(tmp_path / "a.mp4", NOW, stream="cam\udcff")
    (tmp_path / "a.mp4").write_bytes(b"")
    archive.finish(tmp_path / "a.mp4", NOW + 1, stream="cam\udcff")
    lines = [json.loads(line) for line in archive.index.read_bytes().splitlines()]
    assert [line["stream"] for line in lines] == ["cam\udcff"] * 2


def test_an_index_that_is_shortened_keeps_what_others_have_added(tmp_path: Path) -> None:
    archive = filled(tmp_path, [NOW - 3 * DAY + n for n in range(400)], Limits(days=1), size=1)
    other = Archive(tmp_path, "segments", Limits())
    other.begin(tmp_path / "theirs.mp4", NOW)
    archive.prune(NOW)
    assert len(archive.index.read_text().splitlines()) == 1
    archive.close()
    assert [e.file for e in Archive(tmp_path, "segments", Limits()).entries] == ["theirs.mp4"]
