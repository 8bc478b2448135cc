"""What every test gets: no thread may be left behind, and the environment is a clean one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from streamkit.server.settings import ServerSettings
from streamkit.settings import Settings, variable


def pytest_configure() -> None:
    """A shell makes what it starts in the background deaf to Ctrl-C, and so would be every program
    that the tests start and stop."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
