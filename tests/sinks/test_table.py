"""The table of sinks: every line opens, wrong options explain themselves, importing is cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import streamkit.sinks as sinks
from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.sinks import SINKS, Sink, open_sink
from tests.sinks.making import result

OPTIONS: dict[str, dict[str, Any]] = {
    "csv": {"path": "events.csv"},
    "email": {
        "host": "127.0.0.1",
        "to": "guard@example.org",
        "sender": "cameras@example.org",
        "outbox": "outbox.sqlite",
    },
    "events": {"path": "events.jsonl"},
    "callback": {"function": "streamkit.sinks.record:record"},
    "clips": {"folder": "clips"},
    "jsonl": {"path": "street.jsonl"},
    "kafka": {"brokers": "127.0.0.1:9", "outbox": "outbox.sqlite"},
    "memory": {},
    "mqtt": {"host": "127.0.0.1", "port": 9, "outbox": "outbox.sqlite"},
    "s3": {"bucket": "events", "endpoint": "http://127.0.0.1:9", "outbox": "outbox.sqlite"},
    "sqlite": {"path": "events.db"},
    "restream": {"path": "live/index.m3u8"},
    "slack": {"url": "literal:https://192.0.2.1/x", "allow": ["192.0.2.1"], "outbox": "o.sqlite"},
    "snapshots": {"folder": "snapshots", "seconds": 1},
    "udp": {"ip_address": "127.0.0.1", "port": 9},
    "video": {"path": "street.mp4"},
    "webhook": {"url": "http://127.0.0.1:9/", "allow_private": True, "outbox": "outbox.sqlite"},
    "wall": {"path": "street.mp4", "size": (320, 240)},
}


@pytest.mark.parametrize("name", SINKS)
def test_every_line_leads_to_a_class_that_is_a_sink(name: str) -> None:
    made_by = plugins.load(SINKS, name)

    assert issubclass(made_by, Sink)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_sink_is_opened_by_name_writes_and_closes_twice(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_sink(name, OPTIONS[name])

    sink.write(result(1))
    sink.close()
    sink.close()


@pytest.mark.parametrize("name", OPTIONS)
def test_an_unknown_option_is_an_error_that_names_the_choices(name: str) -> None:
    with pytest.raises(ConfigError, match="colour"):
        open_sink(name, {**OPTIONS[name], "colour": 1})


def test_an_unknown_sink_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(ConfigError, match="jsonl"):
        open_sink("jsonlines", {})


def test_a_sink_of_ones_own_is_named_by_its_module() -> None:
    assert open_sink("tests.sinks.test_table:Own", {"volume": 3}).volume == 3  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"write\(result\) and close\(\)"):
        open_sink("tests.sinks.test_table:NoSink", {})


class Own:
    """A stranger's sink: two methods are enough."""

    def __init__(self, volume: int) -> None:
        self.volume = volume

    def write(self, result: Any) -> None: ...

    def close(self) -> None: ...


class NoSink:
    """Lacks both."""


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(sinks, name) is not None for name in sinks.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sinks.nothing  # noqa: B018


def test_importing_sinks_and_stages_loads_nothing_heavy() -> None:
    heavy = "{'av', 'cv2', 'supervision'}"
    program = f"import sys, streamkit.sinks, streamkit.stages; print({heavy} & set(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == "set()"


def test_drawing_does_not_load_supervision() -> None:
    modules = "streamkit.sinks.video, streamkit.stages.annotate"
    program = f"import sys, {modules}; print('supervision' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == "False"
