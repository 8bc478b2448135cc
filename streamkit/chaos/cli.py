"""``streamkit chaos``: cameras on loopback, their faults live in a log, commands from stdin."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamkit.errors import ConfigError, StreamkitError
from streamkit.terminal import paper

if TYPE_CHECKING:
    from streamkit.chaos.lab import Lab
    from streamkit.chaos.scenario import Scenario

What = Annotated[
    list[str] | None,
    typer.Argument(help="A scenario (YAML), or clips: a camera each. Nothing: a clock."),
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        help=r"One word: name\[:parameter=value,...] \[@at] \[/every] \[+for], as in freeze@10+5.",
    ),
]
Listing = Annotated[bool, typer.Option("--list", help="Show every fault and end.")]
Seed = Annotated[int | None, typer.Option("--seed", help="What chance is drawn from.")]
Cameras = Annotated[int, typer.Option("--cameras", min=1, max=64, help="How many of each.")]
Auth = Annotated[str, typer.Option("--auth", help="none, basic or digest (user, pass).")]
Transport = Annotated[str, typer.Option("--transport", help="any, tcp or udp.")]
Tls = Annotated[bool, typer.Option("--tls", help="Serve rtsps.")]
Port = Annotated[int, typer.Option("--port", help="Of the first camera; 0: any free one.")]
Fps = Annotated[float | None, typer.Option("--fps", help="Pictures a second really sent.")]

COMMANDS = "[camera|all] name[:parameter=value,...][+for], [camera|all] clear [name], quit"


def chaos(  # noqa: PLR0913 - one parameter per option of the command
    what: What = None,
    fault: Faults = None,
    listing: Listing = False,
    seed: Seed = None,
    cameras: Cameras = 1,
    auth: Auth = "none",
    transport: Transport = "any",
    tls: Tls = False,
    port: Port = 0,
    fps: Fps = None,
) -> None:
    r"""Serve clips or test pictures as RTSP cameras on loopback that break on request.

    Type a command to break one: \[camera|all] freeze+5, \[camera|all] clear. Ctrl-C ends it.
    """
    if listing:
        _list()
        return
    how: dict[str, Any] = {"auth": auth, "transport": transport, "tls": tls, "fps": fps}
    scenario = _asked(what or [], fault or [], how, cameras, port)
    _serve(scenario, scenario.seed if seed is None else seed)


def _asked(
    what: list[str], faults: list[str], how: dict[str, Any], copies: int, port: int
) -> Scenario:
    from streamkit.chaos.scenario import Scenario
    from streamkit.chaos.script import Entry

    if len(what) == 1 and Path(what[0]).suffix.lower() in (".yaml", ".yml"):
        return Scenario.load(Path(what[0])).adding([Entry.word(word) for word in faults])
    clips: list[str | None] = [name for name in what for _ in range(copies)] or [None] * copies
    written = [
        {"clip": clip, "port": port + number if port else 0, **how}
        for number, clip in enumerate(clips)
    ]
    return Scenario.of({"cameras": written, "faults": list(faults)}, Path.cwd())


def _list() -> None:
    from rich.table import Table

    from streamkit.chaos.faults import FAULTS

    table = Table("fault", "what happens", "parameters", box=None, pad_edge=False)
    for name, kind in FAULTS.items():
        fields = kind.model_fields.items()
        params = ", ".join(f"{key}={field.default}" for key, field in fields)
        table.add_row(name, (kind.__doc__ or "").splitlines()[0], params)
    _console().print(table)


def _console() -> Any:

    return paper(160, markup=False, highlight=False)


def _serve(scenario: Scenario, seed: int) -> None:
    from streamkit.chaos.lab import Lab

    console = _console()
    deaf = threading.Event()

    def told(event: dict[str, Any]) -> None:
        try:
            console.print(line_of(event))
        except (SystemExit, OSError):  # nobody reads what is said
            deaf.set()

    with Lab(scenario.cameras, seed=seed, on_event=told) as lab:
        _show(console, lab, seed)
        with _performing(lab, scenario, seed) as trouble:
            _obey(lab, trouble, deaf)
    if trouble:
        raise trouble[0]
    if deaf.is_set():
        raise typer.Exit(1)


def line_of(event: dict[str, Any]) -> str:
    """An event for people: time, camera, what began or ended."""
    clock = time.strftime("%H:%M:%S", time.localtime(event["at"])) + f"{event['at'] % 1:.3f}"[1:]
    params = {k: v for k, v in event.get("params", {}).items() if k != "certificate"}
    told = "".join(f" {key}={value}" for key, value in params.items())
    lasting = f" for {event['seconds']:g} s" if event.get("seconds") else ""
    return f"{clock} {event['camera']}: {event['fault']} {event['event']}{told}{lasting}"


def _show(console: Any, lab: Lab, seed: int) -> None:
    from rich.table import Table

    rows = [
        (one.name, one.open_url, "" if one.camera.auth == "none" else one.camera.user,
         one.kind, f"{one.size[0]} x {one.size[1]}", f"{one.fps:g}")
        for one in lab
    ]  # fmt: skip
    if not console.is_terminal:
        for row in rows:
            console.print(" ".join(filter(None, row)), soft_wrap=True)
        return
    table = Table("camera", "url", "user", "codec", "size", "fps", title=f"seed {seed}")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(f"commands: {COMMANDS}; Ctrl-C ends")


@contextmanager
def _performing(lab: Lab, scenario: Scenario, seed: int) -> Iterator[list[StreamkitError]]:
    """The script runs on a thread of its own; what stopped it is in the list."""
    from streamkit.chaos.scenario import perform
    from streamkit.chaos.script import cues

    trouble: list[StreamkitError] = []
    stopped = threading.Event()

    def run() -> None:
        try:
            perform(lab, cues(scenario.script, seed), stopped)
        except StreamkitError as error:
            trouble.append(error)

    thread = threading.Thread(target=run, name="streamkit-chaos-script", daemon=True)
    thread.start()
    try:
        yield trouble
    finally:
        stopped.set()
        thread.join(1)


def _obey(lab: Lab, trouble: list[StreamkitError], deaf: threading.Event) -> None:
    """Until quit, Ctrl-C, trouble, or nobody listens; the end of stdin is none of these."""
    for line in _lines(lambda: trouble or deaf.is_set() or lab.process.poll() is not None):
        if line.strip() in ("quit", "exit"):
            return
        try:
            obey(lab, line)
        except ConfigError as error:
            typer.echo(f"error: {error}", err=True)
    if not trouble and not deaf.is_set():
        trouble.append(StreamkitError("the cameras' process has ended"))


def obey(lab: Lab, line: str) -> None:
    """One typed command. ``ConfigError`` where it is none."""
    from streamkit.chaos.script import Entry

    names = {one.name for one in lab}
    first, _, rest = line.strip().partition(" ")
    target, said = (first, rest.strip()) if first in names | {"all"} else ("all", line.strip())
    if not said:
        if first in names | {"all"}:
            raise ConfigError(f"write {COMMANDS}")
        return
    word, _, which = said.partition(" ")
    chosen = [one for one in lab if target in ("all", one.name)]
    if word == "clear":
        for one in chosen:
            one.clear(which.strip() or None)
        return
    for one in chosen:
        Entry.word(said).now(one)


def _lines(over: Any) -> Iterator[str]:
    """Lines of stdin as they come, and then nothing, until it is ``over``."""
    stdin, waiting = [sys.stdin.fileno()] if sys.stdin else [], b""
    while not over():
        if not select.select(stdin, [], [], 0.2)[0]:
            continue
        data = os.read(stdin[0], 4096)
        if not data:
            stdin = []
        *whole, waiting = (waiting + data).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
