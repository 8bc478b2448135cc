"""Cameras on loopback that break on request, in a process of their own.

with Lab([Camera(name="a", pattern="clock")], seed=1) as lab:
    read(lab["a"].url)
    lab["a"].fault("freeze", seconds=5)
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import IO, Any, Self

from streamkit.chaos import interpreter
from streamkit.chaos.camera import Camera
from streamkit.chaos.certificate import self_signed
from streamkit.chaos.faults import Fault, kind_of
from streamkit.chaos.faults import fault as checked
from streamkit.errors import ConfigError, StreamkitError
from streamkit.settings import Settings, plain_environment

HERE = Path(__file__).parent
START = "import sys; sys.path.insert(0, sys.argv[1]); from server.__main__ import main; main()"
PATIENCE = 30.0
"""Seconds for the cameras' process to answer: a test picture may have to be encoded first."""

Event = dict[str, Any]


class LabCamera:
    """A camera that runs."""

    def __init__(self, lab: Lab, camera: Camera, facts: Event, certificate: Path | None) -> None:
        self._lab = lab
        self.camera = camera
        self.name = camera.name
        self.certificate = certificate
        """PEM with key; its own authority, where the lab made it. Gone with the lab."""
        self.port: int = facts["port"]
        self.kind: str = facts["kind"].rpartition("/")[2].removeprefix("x-")
        self.size: tuple[int, int] = facts["width"], facts["height"]
        self.fps: float = facts["fps"]
        """Pictures a second that it really sends."""

    @property
    def url(self) -> str:
        """Where to read it, credentials percent-encoded and included."""
        return self.camera.url(self.port, credentials=True)

    @property
    def open_url(self) -> str:
        """The same without credentials."""
        return self.camera.url(self.port, credentials=False)

    def fault(self, name: str, *, seconds: float | None = None, **params: Any) -> None:
        """Begin a fault and return when it has begun; it ends after ``seconds``, or by ``clear``.

        ``ConfigError`` names the choices where a name, a parameter or this camera is wrong.
        """
        self.apply(checked(name, params), seconds=seconds)

    def apply(self, fault: Fault, *, seconds: float | None = None) -> None:
        """``fault``, with its parameters checked already."""
        self._check(fault, seconds)
        written = fault.model_dump()
        if seconds is None:
            seconds = fault.duration
        if fault.name == "wrong_certificate":
            written["certificate"] = str(self._lab.wrong_certificate())
        self._lab.ask(do="fault", camera=self.name, fault=fault.name, params=written,
                      seconds=seconds, lasts=fault.lasts)  # fmt: skip

    def _check(self, fault: Fault, seconds: float | None) -> None:
        if fault.needs_tls and not self.camera.secure:
            raise ConfigError(f"{fault.name}: camera {self.name} is not rtsps")
        if fault.needs_login and self.camera.auth == "none":
            raise ConfigError(f"{fault.name}: camera {self.name} asks for no password")
        if seconds is not None and not fault.lasts:
            raise ConfigError(f"{fault.name} is a moment's: it takes no duration")
        if seconds is not None and seconds <= 0:
            raise ConfigError(f"{fault.name}: seconds must be more than 0")

    def clear(self, name: str | None = None) -> None:
        """End one fault, or all; none is no error."""
        if name is not None:
            kind_of(name)
        self._lab.ask(do="clear", camera=self.name, fault=name)


class Lab:
    """The cameras' process. ``events``: what was done and when, the newest 10 000.

    An event has ``event`` (begun, ended), ``camera``, ``fault``, ``params`` and ``at``, seconds
    since the epoch. ``on_event`` is called with each, on the lab's own thread.
    """

    def __init__(
        self,
        cameras: Iterable[Camera],
        *,
        seed: int = 0,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.seed = seed
        self.events: deque[Event] = deque(maxlen=10_000)
        self._wanted = list(cameras)
        names = [camera.name for camera in self._wanted]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"more than one camera is called {', '.join(sorted(twice))}")
        self._on_event = on_event
        self._running: dict[str, LabCamera] = {}
        self._answers: dict[int, Future[Event]] = {}
        self._ids = count(1)
        self._lock = threading.Lock()
        self._ready: Future[Event] = Future()
        self._entered = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._said: IO[bytes] | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self._entered:
            raise StreamkitError("a lab runs once: make another one")
        self._entered = True
        try:
            self._start()
            for number, camera in enumerate(self._wanted):
                self._add(camera, number)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> LabCamera:
        if name not in self._running:
            raise ConfigError(f"no camera {name!r}; there are {', '.join(self._running) or 'none'}")
        return self._running[name]

    def __iter__(self) -> Iterator[LabCamera]:
        return iter(self._running.values())

    @property
    def process(self) -> subprocess.Popen[str]:
        """The cameras' process; ``StreamkitError`` before the lab is entered."""
        if self._process is None:
            raise StreamkitError("the lab has not been entered")
        return self._process

    def close(self) -> None:
        """End the process, whatever state it is in, and everything it served. Twice is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    _shut(pipe)
        if self._said is not None:
            self._said.close()
        if self._folder is not None:
            self._folder.cleanup()

    def wrong_certificate(self) -> Path:
        """One that is expired and for another address."""
        file = self._file("wrong.pem")
        return file if file.exists() else self_signed(file, address="192.0.2.1", expired=True)

    def ask(self, **command: Any) -> Event:
        """Have one command done. ``ConfigError`` says why it was not."""
        answer: Future[Event] = Future()
        number = next(self._ids)
        self._answers[number] = answer
        try:
            self._tell({"id": number, **command})
            done = answer.result(PATIENCE)
        except (OSError, TimeoutError) as error:
            raise StreamkitError(f"the cameras' process does not answer{self._last()}") from error
        finally:
            self._answers.pop(number, None)
        if done["event"] == "failed":
            raise ConfigError(f"{command['do']}: {done['error']}")
        return done

    def _start(self) -> None:
        python = interpreter.find(Settings.load().chaos_python)
        command = [python, "-I", "-c", START, str(HERE)]
        if threading.current_thread() is threading.main_thread():
            command.append("--die-with-parent")  # the parent being, to the kernel, this thread
        # Without a name: nothing stays behind, whoever is killed.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the lab
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
            text=True, encoding="utf-8",
            # Many short-lived threads: without the limit each leaves a heap of its own behind.
            env=plain_environment() | {"MALLOC_ARENA_MAX": "2"},
        )  # fmt: skip
        assert self._process.stdout
        self._reader = threading.Thread(
            target=self._listen, args=(self._process.stdout,), name="streamkit-chaos", daemon=True
        )
        self._reader.start()
        if self._ready.result(PATIENCE)["event"] != "ready":
            raise StreamkitError(f"the cameras' process did not start{self._last()}")

    def _add(self, camera: Camera, number: int) -> None:
        certificate = camera.certificate
        if camera.secure and certificate is None:
            certificate = self_signed(self._file(f"camera-{camera.name}.pem"))
        try:
            facts = self.ask(do="add", camera=camera.order(self.seed + number, certificate))
        except ConfigError as error:
            raise ConfigError(f"camera {camera.name}: {str(error).partition(': ')[2]}") from error
        self._running[camera.name] = LabCamera(self, camera, facts, certificate)

    def _tell(self, command: Event) -> None:
        assert self.process.stdin
        with self._lock:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            self._heard(json.loads(line))
        gone: Event = {"event": "gone"}
        if not self._ready.done():
            self._ready.set_result(gone)
        for answer in list(self._answers.values()):
            answer.set_exception(BrokenPipeError("the process has ended"))

    def _heard(self, event: Event) -> None:
        if event["event"] == "ready":
            self._ready.set_result(event)
        elif (answer := self._answers.get(event.get("id", 0))) is not None:
            answer.set_result(event)
        elif "camera" in event:
            self.events.append(event)
            if self._on_event is not None:
                self._on_event(event)

    def _file(self, name: str) -> Path:
        """In a folder that is made when the first certificate is."""
        if self._process is None:
            raise StreamkitError("the lab has not been entered")
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="streamkit-chaos-")
        return Path(self._folder.name) / name

    def _last(self) -> str:
        """The last line that the process left on stderr."""
        if self._said is None or self._said.closed:
            return ""
        file = self._said.fileno()  # not read(): the place in the file is the process's too
        end = os.pread(file, 4096, max(0, os.fstat(file).st_size - 4096))
        lines = end.decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


def _shut(pipe: IO[str]) -> None:
    """Close it, though what was last written to it may never be read."""
    with contextlib.suppress(OSError):
        pipe.close()
