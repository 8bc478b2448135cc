"""``streamkit doctor``: what is wrong with a camera, and what to change."""

from __future__ import annotations

import json
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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def doctor(
    reference: Reference,
    username: Username = None,
    password: Password = None,
    ca_file: CaFile = None,
    no_tls_verify: NoVerify = False,
    seconds: Seconds = 6.0,
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
    examination = Examination(reference, options, seconds)
    if as_json:
        for _ in examination.steps():
            pass
        typer.echo(json.dumps(examination.as_dict(), indent=1))
    else:
        show(examination)
    if examination.verdict is Verdict.FAILED:
        raise typer.Exit(3)
