"""``streamkit chaos`` at work: URLs, a log of faults, commands from stdin, an end at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamkit.chaos.cli import chaos
from streamkit.errors import ConfigError
from tests.chaos.viewers import comes_back
from tests.needs import needs_rtsp_server
from tests.processes import process

SAMPLE = Path(__file__).parents[2] / "samples" / "chaos.yaml"
COMMAND = [sys.executable, "-m", "streamkit", "chaos"]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command with pipes at all ends; ends with the block."""
    needs_rtsp_server()
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with process([*COMMAND, *arguments], **pipes, env=environment) as started:
        yield started


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str], wanted: str) -> str:
    """The next line of output with ``wanted`` in it."""
    assert process.stdout
    for line in process.stdout:
        if wanted in line:
            return line
    raise AssertionError(f"{wanted!r} was not said")


def said(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=50)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.rtsp
def test_the_sample_serves_its_cameras_and_logs_its_faults() -> None:
    with running(str(SAMPLE), "--seed", "3") as process:
        urls = {name: hear(process, name).split()[1] for name in ("entrance", "yard", "hall")}
        assert all(url.startswith("rtsp://127.0.0.1:") for url in urls.values())
        assert "stall begun for 1 s" in hear(process, "yard")
        assert "stall ended" in hear(process, "yard")
        comes_back(urls["yard"])
        say(process, "hall drop_packets:percent=50+0.2")
        assert "begun percent=50.0 for 0.2 s" in hear(process, "hall: drop_packets")
        assert "ended" in hear(process, "hall: drop_packets")
        say(process, "quit")
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert err == ""
    assert "an example" not in out


@pytest.mark.rtsp
def test_typed_commands_break_and_mend_and_wrong_ones_are_told(numbered: Path) -> None:
    with running(str(numbered), "--cameras", "2") as process:
        hear(process, "camera2")
        for wrong in ("nonsense", "camera1", "camera3 freeze", "freeze@5", "clear nonsense"):
            say(process, wrong)
            assert process.stderr
            assert process.stderr.readline().startswith("error: ")
        say(process, "")
        say(process, "camera2 freeze")
        assert "camera2: freeze begun" in hear(process, "freeze")
        say(process, "all clear")
        assert "camera2: freeze ended" in hear(process, "freeze")


@pytest.mark.rtsp
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_any_end_leaves_no_process_and_no_file(
    numbered: Path, ending: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running(str(numbered), "--fault", "flap:up=0.2,down=0.2") as process:
        hear(process, "flap begun")
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        os.killpg(process.pid, ending) if ending is signal.SIGINT else process.send_signal(ending)
        code = process.wait(5)
        assert psutil.wait_procs(family, timeout=5)[1] == []
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(ending, -ending)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rtsp
def test_it_ends_when_nobody_reads_what_it_says(numbered: Path) -> None:
    with running(str(numbered), "--fault", "freeze/0.2+0.1") as process:
        hear(process, "freeze begun")
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdout = None
        assert process.wait(20) == 1
        assert process.stderr.read() == ""


@pytest.mark.rtsp
def test_without_stdin_it_goes_on_until_a_fault_is_impossible(numbered: Path) -> None:
    with running(str(numbered), "--fault", "wrong_password@0.5") as process:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
        assert process.wait(20) == 2
        assert process.stderr
        assert process.stderr.read() == (
            "error: wrong_password: camera camera1 asks for no password\n"
        )


def test_every_fault_is_listed_with_its_parameters() -> None:
    code, out, _ = said("--list")
    assert code == 0
    assert "percent=5.0, distance=3" in out
    assert all(len(line) < 160 for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["none.yaml"], "none.yaml: No such file"), (["--fault", "frezee"], "choose from")],
)
def test_wrong_arguments_are_one_line(arguments: list[str], error: str) -> None:
    code, out, err = said(*arguments)
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"what": ["none.mp4"]}, "there is no file"),
        ({"auth": "magic"}, "'none', 'basic' or 'digest'"),
        ({"transport": "sctp"}, "'any', 'tcp' or 'udp'"),
        ({"port": 99999}, "65535"),
        ({"fps": -1.0}, "greater than 0"),
    ],
)
def test_a_wrong_option_is_an_error_before_anything_runs(
    options: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        chaos(**options)
