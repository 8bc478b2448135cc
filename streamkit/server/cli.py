"""``streamkit serve``: models over HTTP until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Annotated

import typer

from streamkit.errors import ConfigError
from streamkit.server.guard import loopback
from streamkit.server.settings import ServerSettings

Host = Annotated[str | None, typer.Option("--host", help="The address to listen at.")]
Port = Annotated[int | None, typer.Option("--port", help="The port; 0: any that is free.")]

Documents = Annotated[
    Path | None,
    typer.Option("--pipelines", help="A folder of documents that run as long as the server does."),
]


def serve(host: Host = None, port: Port = None, pipelines: Documents = None) -> None:
    """Answer pictures over HTTP, as the neighbour's server does; Ctrl-C ends it.

    Its variables are listed by `streamkit settings`.
    """
    given = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    settings = ServerSettings.load(**given)
    refuse_to_be_open(settings)
    run(settings, pipelines)


def refuse_to_be_open(settings: ServerSettings) -> None:
    """Raise ``ConfigError`` where anybody on the network could manage the server."""
    closed = settings.server_key is not None or settings.workspace is not None
    if closed or loopback(settings.host):
        return
    raise ConfigError(
        f"--host {settings.host} lets others in: set STREAMKIT_SERVER_KEY (any long random text, "
        "which clients give as api_key or Authorization: Bearer), or listen at 127.0.0.1"
    )


def run(settings: ServerSettings, pipelines: Path | None = None) -> None:
    """Listen until told to stop."""
    import uvicorn

    from streamkit.server.app import create_app
    from streamkit.server.services import Services
    from streamkit.settings import Settings

    services = Services.of(settings, Settings.load())
    if pipelines is not None:
        services.hosting.adopt(_folder(pipelines))
    listening = _socket(settings)
    host, port = listening.getsockname()[:2]
    app = create_app(services)
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="on",
        access_log=False,  # it would show queries, and with them keys
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 << 10,
    )
    name = f"[{host}]" if ":" in host else host
    typer.echo(f"listening at http://{name}:{port}, described at http://{name}:{port}/docs")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        uvicorn.Server(config).run(sockets=[listening])


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigError(f"--pipelines {path}: there is no such folder")
    return path


def _socket(settings: ServerSettings) -> socket.socket:
    """Bound, so that the port is known. Raises ``ConfigError`` where it cannot be had."""
    place = settings.host, settings.port
    try:
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(place, family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        text = f"cannot listen at {settings.host}:{settings.port}: {reason}"
        raise ConfigError(f"{text}; choose another with --host and --port") from error
