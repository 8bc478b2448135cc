"""``streamkit doctor``: what is wrong with a camera, and what to change."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Reference = Annotated[str, typer.Argument(help="A camera's address, or any other source.")]
Username = Annotated[str | None, typer.Option("--username", help="Or env:NAME, file:PATH.")]
Password = Annotated[
    str | None,
    typer.Option("--password", help="env:NAME or file:PATH; written out it is seen by others."),
]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="Authorities to trust (PEM).")]
NoVerify = Annotated[
    bool, typer.Option("--no-tls-verify", help="Do not ask who the camera really is.")
]
Seconds = Annotated[
    float, typer.Option("--seconds", min=1, max=600, help="How long to listen to each thing.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.5, max=120, help="How long a camera may take to answer.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def doctor(  # noqa: PLR0913 - one parameter per option of the command
    reference: Reference,
    username: Username = None,
    password: Password = None,
    ca_file: CaFile = None,
    no_tls_verify: NoVerify = False,
    seconds: Seconds = 6.0,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
) -> None:
    """Connect to a camera step by step; say what fails, and what to change. Exit code 3: it fails.

    Ends with the entry to write into a pipeline document.
    """
    from streamkit.doctor.examine import Examination
    from streamkit.doctor.findings import Verdict
    from streamkit.doctor.show import show

    given: dict[str, Any] = {"username": username, "password": password}
    given["ca_file"] = None if ca_file is None else str(ca_file)
    options = {name: value for name, value in given.items() if value is not None}
    if no_tls_verify:
        options["tls_verify"] = False
    examination = Examination(reference, options, seconds, timeout)
    with _quiet():
        if as_json:
            for _ in examination.steps():
                pass
            typer.echo(json.dumps(examination.as_dict(), indent=1))
        else:
            show(examination)
    if examination.verdict is Verdict.FAILED:
        raise typer.Exit(3)


@contextmanager
def _quiet() -> Iterator[None]:
    """What would be logged while a camera is examined are findings."""
    log = logging.getLogger("streamkit")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _duration(text: str | float) -> float:
    """``300ms``, ``0.3s`` or ``0.3`` in seconds; the default comes as a number."""
    match = re.fullmatch(r"\s*([\d.]+)\s*(ms|s)?\s*", str(text))
    try:
        seconds = float(match[1]) * (1e-3 if match[2] == "ms" else 1.0) if match else 0.0
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise typer.BadParameter(f"{text!r} is no length of time: write 300ms or 0.3s")
    return seconds


Cameras = Annotated[int, typer.Option("--cameras", min=1, max=200, help="How many there are.")]
Model = Annotated[str, typer.Option("--model", help="dataset/version, an alias, a folder, a file.")]
MaxAge = Annotated[
    float, typer.Option("--max-age", parser=_duration, help="Oldest result at p99: 300ms, 0.5s.")
]
Fps = Annotated[float, typer.Option("--fps", min=0.1, help="Predictions a second and camera.")]
Like = Annotated[
    str | None,
    typer.Option("--like", help="A clip or an address like those cameras; else 720p at 25 fps."),
]
Margin = Annotated[float, typer.Option("--margin", min=0, max=0.9, help="Share to be kept free.")]
Trials = Annotated[float, typer.Option("--seconds", min=2, help="How long each trial runs.")]


def plan(  # noqa: PLR0913 - one parameter per option of the command
    cameras: Cameras,
    model: Model,
    max_age: MaxAge = 0.5,
    fps: Fps = 5.0,
    like: Like = None,
    margin: Margin = 0.2,
    seconds: Trials = 6.0,
    as_json: AsJson = False,
) -> None:
    """Find out how many cameras fit on this machine, by running them. Exit code 1: too many."""
    from streamkit.doctor.plan import Wish
    from streamkit.doctor.plan_show import planned

    wish = Wish(cameras, model, max_age, fps, like, margin, seconds)
    if not planned(wish, as_json=as_json):
        raise typer.Exit(1)
