"""A file of lines: whole or not at all, begun anew in time, healed after a crash."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamkit.errors import ConfigError, SinkError
from streamkit.sinks.lines import LineFile, Rotation

NOON = datetime(2026, 3, 29, 12, 30, tzinfo=UTC)


def no_half(_line: bytes) -> bool:
    return False


class Today:
    """A clock that is set, and files that were written when it says."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def wrote(self, path: Path) -> None:
        """As if the file had been written now."""
        os.utime(path, (self.now.timestamp(),) * 2)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_day_of_its_own_file_and_names_that_tell_when_it_ended(tmp_path: Path) -> None:
    today, path = Today(), tmp_path / "log.txt"
    file = LineFile(path, no_half, header=b"head\n", rotation=Rotation("day"), now=today)
    for days in range(3):
        today.now = NOON + timedelta(days=days)
        for _ in range(2):
            file.put(b"%d\n" % days)
            today.wrote(path)
    file.close()

    assert [old.name for old in file.put_aside()] == [
        "log.20260329T123000.txt",
        "log.20260330T123000.txt",
    ]
    for days, each in enumerate([*file.put_aside(), path]):
        assert lines(each) == ["head", str(days), str(days)]


def test_a_file_of_yesterday_is_put_aside_by_the_next_run(tmp_path: Path) -> None:
    today, path = Today(), tmp_path / "log.txt"
    path.write_text("old\n")
    today.wrote(path)
    today.now += timedelta(days=1)
    file = LineFile(path, no_half, rotation=Rotation("day"), now=today)
    file.put(b"new\n")
    file.close()

    assert lines(path) == ["new"]
    assert [lines(old) for old in file.put_aside()] == [["old"]]


def test_no_file_grows_over_its_size_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    file = LineFile(path, no_half, rotation=Rotation(size=20, keep=2))
    for number in range(12):
        file.put(b"line %03d\n" % number)
    file.put(b"one that is longer than a whole file\n")
    file.put(b"line 999\n")
    file.close()

    kept = [lines(old) for old in file.put_aside()]
    assert kept == [["line 010", "line 011"], ["one that is longer than a whole file"]]
    assert lines(path) == ["line 999"]


def test_other_files_of_the_folder_are_nobodys_rotation(tmp_path: Path) -> None:
    for name in ("log.txt.20260329T123000.txt", "log.mine.txt", "log.20260329T123000.csv"):
        (tmp_path / name).write_text("mine")
    file = LineFile(tmp_path / "log.txt", no_half, rotation=Rotation(size=1, keep=1))
    for _ in range(4):
        file.put(b"line\n")
    file.close()

    assert len(file.put_aside()) == 1
    assert len(list(tmp_path.iterdir())) == 5


def test_half_a_line_is_cut_off_and_a_whole_one_without_an_end_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for torn, left in ((b"one\ntw", ["one"]), (b"tw", []), (b"one\ntwo!", ["one", "two!"])):
        path.write_bytes(torn)
        file = LineFile(path, lambda line: line.endswith(b"!"))
        file.put(b"three\n")
        file.close()
        assert lines(path) == [*left, "three"]


def test_a_long_torn_line_is_found_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"one\n" + b"x" * 200_000)
    LineFile(path, no_half).close()
    assert path.read_bytes() == b"one\n"


@pytest.mark.parametrize("what", ["moved", "removed", "emptied"])
def test_a_file_that_somebody_took_away_is_begun_anew(tmp_path: Path, what: str) -> None:
    path = tmp_path / "log.txt"
    file = LineFile(path, no_half, header=b"head\n")
    file.put(b"one\n")
    if what == "moved":
        path.rename(tmp_path / "elsewhere")
    elif what == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    file.put(b"two\n")
    file.close()
    assert lines(path) == ["head", "two"]


def test_a_file_that_cannot_be_renamed_grows_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ("x" * 240 + ".txt")  # with a time in it, it is too long a name
    file = LineFile(path, no_half, rotation=Rotation(size=4))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            file.put(b"line\n")
    file.close()
    assert lines(path) == ["line"] * 5
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} cannot be put aside: File name too long"
    ]


def test_what_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rotate_bytes=0"):
        Rotation(size=0)
    with pytest.raises(ConfigError, match="keep_files=0"):
        Rotation(keep=0)
    with pytest.raises(SinkError, match="Is a directory"):
        LineFile(tmp_path, no_half)
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(SinkError, match="other columns"):
        LineFile(tmp_path / "other.csv", no_half, header=b"c,d\n")
    file = LineFile(tmp_path / "log.txt", no_half)
    file.close()
    file.close()
    with pytest.raises(SinkError, match="is closed"):
        file.put(b"line\n")


def test_a_pipe_is_written_to_and_nothing_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(tmp_path / "pipe", no_half, header=b"head\n", rotation=Rotation(size=1))
    file.put(b"one\n")
    file.put(b"two\n")
    assert os.read(reader, 100) == b"head\none\ntwo\n"
    file.close()
    os.close(reader)


def test_where_the_clock_was_set_back_the_oldest_go_all_the_same(tmp_path: Path) -> None:
    clock, path = Today(), tmp_path / "log.txt"
    file = LineFile(path, no_half, rotation=Rotation(size=9, keep=2), now=clock)
    for number in range(6):
        if number == 3:
            clock.now -= timedelta(days=2)
        file.put(b"line %03d\n" % number)
        clock.wrote(path)
    file.close()

    assert [lines(old) for old in file.put_aside()] == [["line 003"], ["line 004"]]
