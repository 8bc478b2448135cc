"""Windows under a real X server, and an error instead of an abort where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.needs import needs_program

pytestmark = pytest.mark.display

SHOWN = """
import cv2
from streamkit.sinks import WindowSink, display_image
from tests.sinks.making import result

sink = WindowSink("street", size=(640, 360))
for number in range(3):
    sink.write(result(number, source_id=2))
assert cv2.getWindowProperty("street - 2", cv2.WND_PROP_VISIBLE) == 1
assert not sink.closed
sink.write(result(4, source_id=1))
assert not sink.closed
cv2.destroyWindow("street - 2")
sink.write(result(4, source_id=2))
assert sink.closed
assert not sink._windows
sink.close()
sink.close()
sink.write(result(5, source_id=1))
assert sink.closed

picture = result(1).image
display_image((7, picture))
display_image((None, picture))
display_image([(0, picture), (1, picture)])
for name in ("video: 7", "video: N/A", "tiles"):
    assert cv2.getWindowProperty("Predictions - " + name, cv2.WND_PROP_VISIBLE) == 1, name
cv2.destroyAllWindows()
print("shown")
"""

QUIT = """
import subprocess, sys
from streamkit.sinks import WindowSink
from tests.sinks.making import result

sink = WindowSink("street")
sink.write(result(1))
window = subprocess.run([sys.argv[1], "search", "--sync", "--name", "street - 0"],
                        check=True, capture_output=True, text=True).stdout.split()[0]
subprocess.run([sys.argv[1], "windowfocus", window], check=True)
subprocess.run([sys.argv[1], "key", "--window", window, "q"], check=True)
for number in range(2, 500):
    sink.write(result(number))
    if sink.closed:
        break
assert sink.closed
print("closed")
"""

REFUSED = """
from streamkit.errors import SinkError
from streamkit.sinks import WindowSink, display_image
from tests.sinks.making import result
for attempt in (WindowSink, lambda: display_image((1, result(1).image))):
    try:
        attempt()
    except SinkError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """The name of an X display made for these tests."""
    program = needs_program("Xvfb")
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:
        number = told.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(timeout=10)


def run(program: str, display: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    if display:
        environment["DISPLAY"] = display
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_pictures_appear_in_windows_and_go_when_told(screen: str) -> None:
    done = run(SHOWN, screen)

    assert done.stdout.strip() == "shown", done.stderr


def test_q_closes_the_window_and_the_sink(screen: str) -> None:
    done = run(QUIT, screen, needs_program("xdotool"))

    assert done.stdout.strip() == "closed", done.stderr


def test_without_a_display_there_is_an_error_and_the_process_lives_on() -> None:
    done = run(REFUSED, None)

    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "no window can be opened here"
    ] * 2
    assert "DISPLAY" in done.stdout
