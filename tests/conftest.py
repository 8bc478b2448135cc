"""What every test gets: no thread may be left behind, and the environment is a clean one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Literal

import pytest

from streamkit.server.settings import ServerSettings
from streamkit.settings import Settings, variable


def pytest_configure() -> None:
    """A shell makes what it starts in the background deaf to Ctrl-C, and so would be every program
    that the tests start and stop."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Tests that are to be ``alone`` run in a process of their own, and are told here."""
    del nextitem
    if item.get_closest_marker("alone") is None or os.environ.get("STREAMKIT_ALONE"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    began = time.time()
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", item.nodeid]
    done = subprocess.run(
        command,
        cwd=item.config.rootpath, env=os.environ | {"STREAMKIT_ALONE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    reason = next((line for line in done.stdout.splitlines() if line.startswith("SKIPPED")), None)
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    told: str | tuple[str, int, str] | None = None
    if done.returncode:
        outcome, told = "failed", done.stdout + done.stderr
    elif reason is not None:
        outcome, told = "skipped", (str(item.path), 0, reason)
    report = pytest.TestReport(
        item.nodeid, item.location, dict.fromkeys(item.keywords, 1), outcome, told, "call",
        duration=time.time() - began, start=began, stop=time.time(),
    )  # fmt: skip
    item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Threads of ours that outlive a test are a defect; those in native calls get some seconds."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5.0
    while left := _ours(before):
        assert time.monotonic() < deadline, f"threads left behind: {left}"
        left[0].join(0.05)


def _ours(before: set[threading.Thread]) -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread not in before and thread.name.startswith("streamkit")
    ]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine must not change what is tested."""
    for kind in (Settings, ServerSettings):
        for name in kind.model_fields:
            monkeypatch.delenv(variable(name, kind), raising=False)
    monkeypatch.delenv("API_KEY", raising=False)
