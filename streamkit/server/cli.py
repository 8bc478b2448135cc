"""``streamkit serve``: models over HTTP until Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamkit.errors import ConfigError
from streamkit.server.guard import loopback
from streamkit.server.settings import ServerSettings

if TYPE_CHECKING:
    import uvicorn

    from streamkit.server.services import Services

log = logging.getLogger(__name__)

_ENOUGH: Final = 2.5
"""Seconds after which nobody is waited for: a download of a model, a picture that does not come."""

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
    from streamkit.server.logs import write_json
    from streamkit.server.services import Services
    from streamkit.server.wire import files_that_may_be_open, wire_of
    from streamkit.settings import Settings

    if settings.log_format == "json":
        write_json()
    services = Services.of(settings, Settings.load())
    if pipelines is not None:
        services.hosting.adopt(_folder(pipelines))
    listening = listening_at(settings)
    host, port = listening.getsockname()[:2]
    app = create_app(services)
    most = min(settings.max_connections, files_that_may_be_open() // 2)
    config = uvicorn.Config(
        app,
        http=wire_of(settings.header_timeout, most),
        log_level="warning",
        lifespan="on",
        log_config=None if settings.log_format == "json" else uvicorn.config.LOGGING_CONFIG,
        access_log=False,  # it would show queries, and with them keys
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 << 10,
        ws_max_size=4 << 10,  # what listeners say is of no interest
    )
    name = f"[{host}]" if ":" in host else host
    typer.echo(f"listening at http://{name}:{port}, described at http://{name}:{port}/docs")
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        _ended_in_time(server, services)
        server.run(sockets=[listening])


def _ended_in_time(server: uvicorn.Server, services: Services) -> None:
    """From the first signal on, pipelines end while requests are still answered; and what sits in
    foreign code then keeps the process no longer than it may take."""
    usual = server.handle_exit

    def end() -> None:
        services.hosting.close()
        time.sleep(max(0.0, _ENOUGH - (time.monotonic() - told[0])))
        log.warning("left behind: %d threads", threading.active_count() - 1)
        os._exit(0)

    told: list[float] = []

    def handle_exit(number: int, frame: object) -> None:
        if not told:
            told.append(time.monotonic())
            threading.Thread(target=end, daemon=True, name="streamkit stop").start()
        usual(number, frame)  # type: ignore[arg-type]

    server.handle_exit = handle_exit  # type: ignore[assignment,method-assign]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigError(f"--pipelines {path}: there is no such folder")
    return path


def listening_at(settings: ServerSettings) -> socket.socket:
    """Bound, so that the port is known. Raises ``ConfigError`` where it cannot be had."""
    place = settings.host, settings.port
    try:
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server(place, family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        text = f"cannot listen at {settings.host}:{settings.port}: {reason}"
        raise ConfigError(f"{text}; choose another with --host and --port") from error
    # asyncio does this for its own sockets only: without, each answer waits 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
