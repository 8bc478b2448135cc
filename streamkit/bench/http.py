"""A server under many clients, in turn with one client alone; and what a camera notices of it."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from streamkit.bench.measure import Spread
from streamkit.errors import ConfigError
from streamkit.settings import whole_environment

_WHERE: Final = re.compile(r"listening at (http://\S+?),")


@dataclass(frozen=True, slots=True)
class Load:
    """What clients did for some seconds."""

    each: tuple[int, ...]
    """Requests answered with 200, by client."""
    failed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return sum(self.each) / self.seconds


@dataclass(frozen=True, slots=True)
class Found:
    """All rounds."""

    clients: int
    alone: Spread
    """Requests per second of one client."""
    together: Spread
    gain: Spread
    """The second as a multiple of the first, round by round."""
    fairness: float
    """The least served client's share of the best served one's, in the worst round."""
    failed: int
    resident: tuple[int, int]
    """Bytes of the server after the first and after the last round."""
    camera_age: float
    """Seconds, p99, of a camera that ran all the time."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        spreads = {"alone": self.alone, "together": self.together, "gain": self.gain}
        told: dict[str, Any] = {name: s.as_dict() for name, s in spreads.items()}
        return told | {
            "clients": self.clients,
            "fairness": self.fairness,
            "failed": self.failed,
            "resident": list(self.resident),
            "camera_age_p99": self.camera_age,
        }


def measure(
    model: str,
    models: Path,
    picture: Path,
    clients: int,
    seconds: float,
    rounds: int,
    told: Callable[[str], None],
) -> Found:
    """One client, then ``clients`` of them, each for ``seconds``; as often as ``rounds``.

    ``model``: an id of the folder ``models``. Raises ``ConfigError`` where the server fails.
    """
    body = _body(model, picture)
    alone, together, sizes = list[Load](), list[Load](), list[int]()
    with _server(models) as (url, process):
        _load(url, body, 2, 1.0)
        camera = _camera(url, model)
        for number in range(rounds):
            alone.append(_load(url, body, 1, seconds))
            together.append(_load(url, body, clients, seconds))
            sizes.append(psutil.Process(process.pid).memory_info().rss)
            told(f"round {number + 1}: {alone[-1].rate:.0f}, {together[-1].rate:.0f} a second")
        age = _age(url, camera)
    gains = [b.rate / a.rate for a, b in zip(alone, together, strict=True)]
    return Found(
        clients,
        Spread.of([load.rate for load in alone]),
        Spread.of([load.rate for load in together]),
        Spread.of(gains),
        min(min(load.each) / max(load.each) for load in together),
        sum(load.failed for load in (*alone, *together)),
        (sizes[0], sizes[-1]),
        age,
    )


def _body(model: str, picture: Path) -> bytes:
    value = base64.b64encode(picture.read_bytes()).decode()
    return json.dumps({"model_id": model, "image": {"type": "base64", "value": value}}).encode()


@contextmanager
def _server(models: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``streamkit serve`` on a free port, ended by Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="streamkit-") as folder:
        environment = whole_environment(
            {
                "STREAMKIT_MODEL_DIR": str(models.resolve()),
                "STREAMKIT_STATE_DIR": folder,
                "OFFLINE_MODE": "True",
                "PYTHONUNBUFFERED": "1",
            }
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "streamkit", "serve", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            found = _WHERE.match(process.stdout.readline())
            if found is None:
                raise ConfigError("the server did not start; try: streamkit serve")
            yield found[1], process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
            process.stdout.close()


class _Client:
    """One connection that asks again and again."""

    def __init__(self, url: str, body: bytes) -> None:
        place = urlsplit(url)
        self._wire = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        self._body = body
        self.answered = self.failed = 0

    def run(self, gate: threading.Barrier, until: Callable[[], float]) -> None:
        gate.wait()
        while time.monotonic() < until():
            if self._ask() == http.client.OK:
                self.answered += 1
            else:
                self.failed += 1
        self._wire.close()

    def _ask(self) -> int:
        header = {"Content-Type": "application/json"}
        try:
            self._wire.request("POST", "/infer/object_detection", self._body, header)
            answer = self._wire.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._wire.close()
            return 0
        return answer.status


def _load(url: str, body: bytes, count: int, seconds: float) -> Load:
    clients = [_Client(url, body) for _ in range(count)]
    gate, until = threading.Barrier(count + 1), [float("inf")]
    threads = [
        threading.Thread(target=client.run, args=(gate, lambda: until[0])) for client in clients
    ]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.monotonic()
    until[0] = began + seconds
    for thread in threads:
        thread.join()
    each = tuple(client.answered for client in clients)
    return Load(each, sum(client.failed for client in clients), time.monotonic() - began)


def _ask(url: str, path: str, document: object = None) -> Any:
    place = urlsplit(url)
    wire = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
    try:
        body = None if document is None else json.dumps(document)
        wire.request("POST" if body else "GET", path, body, {"Content-Type": "application/json"})
        return json.loads(wire.getresponse().read())
    finally:
        wire.close()


def _camera(url: str, model: str) -> str:
    document = {"sources": ["synthetic:fps=5"], "model": model}
    told = _ask(url, "/inference_pipelines/initialise", document)
    return str(told["context"]["pipeline_id"])


def _age(url: str, camera: str) -> float:
    report = _ask(url, f"/inference_pipelines/{camera}/status")["report"]
    return float(report["stats"]["streams"][0]["age_p99"])
