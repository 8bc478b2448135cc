"""Read commands (JSON lines) from stdin, write events (JSON lines) to stdout, serve until EOF."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import Any

from .camera import Camera
from .door import Street
from .faults import BEGIN, Undo, alike
from .gst import GLib

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Stage:
    """All cameras of this process and what is wrong with each."""

    def __init__(self) -> None:
        self._street = Street()
        self._cameras: dict[str, Camera] = {}
        self._wrong: dict[tuple[str, str], tuple[Undo, int]] = {}

    def obey(self, command: dict[str, Any]) -> None:
        """One command; the answer carries its id. Main loop's thread."""
        answer: dict[str, Any] = {"event": "done", "id": command["id"]}
        try:
            answer.update(getattr(self, "_" + command["do"])(command) or {})
        except Exception as error:  # noqa: BLE001 - nothing may end the other cameras
            answer.update(event="failed", error=getattr(error, "message", None) or str(error))
        say(answer)

    def clean(self) -> bool:
        """Every other second: forget dead sessions."""
        for camera in self._cameras.values():
            camera.clean()
        return True

    def _add(self, command: dict[str, Any]) -> dict[str, Any]:
        options = command["camera"]
        camera = Camera(options, self._street)
        self._cameras[options["name"]] = camera
        width, height = camera.reel.size
        return {"port": camera.port, "kind": camera.reel.kind, "width": width, "height": height,
                "fps": camera.reel.fps}  # fmt: skip

    def _fault(self, command: dict[str, Any]) -> None:
        name, fault, seconds = command["camera"], command["fault"], command["seconds"]
        for other in alike(fault):
            self._undo(name, other)
        undo = BEGIN[fault](self._cameras[name], command["params"])
        event = {"camera": name, "fault": fault, "at": time.time(), "params": command["params"]}
        say({"event": "begun", **event, "seconds": seconds})
        if command["lasts"]:
            timer = 0
            if seconds is not None:
                timer = GLib.timeout_add(int(seconds * 1000), self._over, name, fault)
            self._wrong[name, fault] = undo, timer

    def _clear(self, command: dict[str, Any]) -> None:
        wanted = command.get("fault")
        for name, fault in list(self._wrong):
            if name == command["camera"] and wanted in (None, fault):
                self._undo(name, fault)

    def _over(self, name: str, fault: str) -> bool:
        undo, _ = self._wrong[name, fault]
        self._wrong[name, fault] = undo, 0
        self._undo(name, fault)
        return False

    def _undo(self, name: str, fault: str) -> None:
        if (name, fault) not in self._wrong:
            return
        undo, timer = self._wrong.pop((name, fault))
        if timer:
            GLib.source_remove(timer)
        undo()
        say({"event": "ended", "camera": name, "fault": fault, "at": time.time()})


def say(event: dict[str, Any]) -> None:
    """One event to who runs this; without a listener there is nothing left to do."""
    try:
        os.write(sys.stdout.fileno(), json.dumps(event).encode() + b"\n")
    except OSError:
        os._exit(0)


def _listen(stage: Stage) -> None:
    """Its own thread: a busy main loop must not outlive who runs this."""
    for line in sys.stdin:
        GLib.idle_add(lambda command: stage.obey(command), json.loads(line))
    os._exit(0)


def _watch(parent: int) -> bool:
    if os.getppid() != parent:
        os._exit(0)
    return True


def main() -> None:
    """Serve until stdin is closed or the parent is gone."""
    parent = os.getppid()
    if "--die-with-parent" in sys.argv:  # even while stopped by a signal
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who runs this
    stage = Stage()
    GLib.timeout_add(2000, stage.clean)
    GLib.timeout_add(500, _watch, parent)
    threading.Thread(target=_listen, args=(stage,), daemon=True).start()
    say({"event": "ready"})
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
