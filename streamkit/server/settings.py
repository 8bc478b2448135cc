"""Every environment variable of the server, typed; the neighbour's names where it has them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr

from streamkit.settings import Environment, Names


class ServerSettings(Environment):
    """Beside ``Settings``, which says where models come from and how they run."""

    host: str = Field("127.0.0.1", validation_alias="HOST", description="the address to listen at")
    port: int = Field(
        9001, validation_alias="PORT", ge=0, le=65535, description="the port; 0: any that is free"
    )
    server_key: SecretStr | None = Field(
        None,
        validation_alias="STREAMKIT_SERVER_KEY",
        description="who manages the server has to show it; needed to listen beyond loopback",
    )
    workspace: str | None = Field(
        None,
        validation_alias="DEDICATED_DEPLOYMENT_WORKSPACE_URL",
        description="dedicated mode: only keys of this workspace are answered",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        validation_alias="STREAMKIT_LOG_FORMAT",
        description="what the server writes to stderr: lines for people, or JSON, one a line",
    )
    preload_models: Names = Field(
        (), validation_alias="PRELOAD_MODELS", description="models loaded before it is ready"
    )
    allow_origins: Names = Field(
        (),
        validation_alias="ALLOW_ORIGINS",
        description="web pages of these origins may ask (CORS); *: of any",
    )
    legacy_routes: bool = Field(
        True, validation_alias="LEGACY_ROUTE_ENABLED", description="/{dataset}/{version} is there"
    )
    model_registry: bool = Field(
        True,
        validation_alias="GET_MODEL_REGISTRY_ENABLED",
        description="GET /model/registry is there",
    )
    max_body_bytes: int = Field(
        64 << 20,
        validation_alias="STREAMKIT_MAX_BODY_BYTES",
        ge=1024,
        description="the most bytes of a request",
    )
    max_bodies_bytes: int = Field(
        1 << 30,
        validation_alias="STREAMKIT_MAX_BODIES_BYTES",
        ge=1024,
        description="the same of all requests at a time; further ones are answered 503",
    )
    body_timeout: float = Field(
        30.0,
        validation_alias="STREAMKIT_BODY_TIMEOUT",
        gt=0,
        description="seconds a request may take to arrive",
    )
    header_timeout: float = Field(
        10.0,
        validation_alias="STREAMKIT_HEADER_TIMEOUT",
        gt=0,
        description="seconds after which a connection is closed that has said no whole header",
    )
    max_connections: int = Field(
        4096,
        validation_alias="STREAMKIT_MAX_CONNECTIONS",
        ge=1,
        description="connections at a time, at most half the files that may be open; "
        "further ones are closed",
    )
    max_image_bytes: int = Field(
        32 << 20,
        validation_alias="STREAMKIT_MAX_IMAGE_BYTES",
        ge=1024,
        description="the most bytes of one picture in a request, encoded",
    )
    max_image_pixels: int = Field(
        64_000_000,
        validation_alias="STREAMKIT_MAX_IMAGE_PIXELS",
        ge=1024,
        description="the most pixels of one picture in a request",
    )
    max_request_pixels: int = Field(
        256_000_000,
        validation_alias="STREAMKIT_MAX_REQUEST_PIXELS",
        ge=1024,
        description="the most pixels of all pictures of one request",
    )
    max_pixels_in_work: int = Field(
        512_000_000,
        validation_alias="STREAMKIT_MAX_PIXELS_IN_WORK",
        ge=1024,
        description="the same of all requests at a time; further ones are answered 503",
    )
    max_images: int = Field(
        64,
        validation_alias="STREAMKIT_MAX_IMAGES",
        ge=1,
        description="the most pictures of one request",
    )
    request_timeout: float = Field(
        60.0,
        validation_alias="STREAMKIT_REQUEST_TIMEOUT",
        gt=0,
        description="seconds after which a request is answered 504; a client may ask for less",
    )
    max_requests: int = Field(
        128,
        validation_alias="STREAMKIT_MAX_REQUESTS",
        ge=1,
        description="requests for inference at a time; further ones are answered 503",
    )
    requests_per_minute: int = Field(
        0,
        validation_alias="STREAMKIT_REQUESTS_PER_MINUTE",
        ge=0,
        description="of one client address; further ones are answered 429 (0: any number)",
    )
    allow_url_input: bool = Field(
        True, validation_alias="ALLOW_URL_INPUT", description="pictures may be given by address"
    )
    allow_http_url_input: bool = Field(
        False,
        validation_alias="ALLOW_NON_HTTPS_URL_INPUT",
        description="also by http, which others can read and change on its way",
    )
    allow_private_url_input: bool = Field(
        False,
        validation_alias="STREAMKIT_ALLOW_PRIVATE_URL_INPUT",
        description="also from this machine and its networks",
    )
    url_input_allowed: Names = Field(
        (),
        validation_alias="WHITELISTED_DESTINATIONS_FOR_URL_INPUT",
        description="hosts pictures may be fetched from (none: from all)",
    )
    url_input_blocked: Names = Field(
        (),
        validation_alias="BLACKLISTED_DESTINATIONS_FOR_URL_INPUT",
        description="hosts pictures are never fetched from",
    )
    url_timeout: float = Field(
        10.0,
        validation_alias="STREAMKIT_URL_TIMEOUT",
        gt=0,
        description="seconds to fetch one picture in",
    )
    media_dir: Path | None = Field(
        None,
        validation_alias="STREAMKIT_MEDIA_DIR",
        description="files below it may be sources of pipelines that come by request",
    )
    camera_hosts: Names = Field(
        (),
        validation_alias="STREAMKIT_CAMERA_HOSTS",
        description="hosts that sources of such pipelines may be on (none: any)",
    )
    request_secrets: Names = Field(
        (),
        validation_alias="STREAMKIT_REQUEST_SECRETS",
        description="variables that such pipelines may refer to with env:NAME",
    )
    max_pipelines: int = Field(
        64,
        validation_alias="STREAMKIT_MAX_PIPELINES",
        ge=1,
        description="pipelines at a time",
    )
    max_listeners: int = Field(
        256,
        validation_alias="STREAMKIT_MAX_LISTENERS",
        ge=1,
        description="who is sent results as they come, at a time; further ones are answered 503",
    )
    traces: bool = Field(
        False,
        validation_alias="STREAMKIT_TRACES",
        description="frames and requests as OpenTelemetry spans, sent as OTEL_ variables say",
    )
    state_dir: Path | None = Field(
        None,
        validation_alias="STREAMKIT_STATE_DIR",
        description="where pipelines are kept over a restart (default: the platform's data folder)",
    )

    @property
    def state(self) -> Path:
        """The folder of what is kept over a restart."""
        return self.state_dir or user_data_path("streamkit") / "server"
