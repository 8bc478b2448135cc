"""Where pictures come from: ``open_source`` picks the adapter that a reference calls for."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from streamkit import plugins
from streamkit.errors import ConfigError, StreamkitError
from streamkit.sources.base import Source
from streamkit.sources.properties import options_from
from streamkit.sources.reference import Locator, kept_elsewhere, located

SOURCES = {
    "file": "streamkit.sources.file:FileSource",
    "images": "streamkit.sources.images:ImageSource",
    "rtsp": "streamkit.sources.rtsp:RtspSource",
    "network": "streamkit.sources.network:NetworkSource",
    "http": "streamkit.sources.http:HttpSource",
    "webcam": "streamkit.sources.webcam:WebcamSource",
    "synthetic": "streamkit.sources.synthetic:SyntheticSource",
    "replay": "streamkit.sources.replay:ReplaySource",
    "generator": "streamkit.sources.generator:GeneratorSource",
}

SHAREABLE = ("rtsp", "network", "http", "webcam")
"""Kinds of which one connection can serve several streams, and sometimes has to."""

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_SCHEMES = {
    **dict.fromkeys(("rtsp", "rtsps"), "rtsp"),
    **dict.fromkeys(("http", "https"), "http"),
    **dict.fromkeys(("rtmp", "rtmps", "udp", "rtp", "srtp", "tcp", "srt", "mms"), "network"),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def open_source(reference: Any, *, isolated: bool = False, **options: Any) -> Source:
    """The source that ``reference`` stands for; nothing is opened yet, except to look at HTTP.

    A number or ``/dev/video*``: webcam. ``rtsp(s)://`` and other live addresses: camera.
    ``http(s)://``: a recording or a live stream, as the server's answer says (``live`` decides
    instead). A path or ``file://``: a video, an image or a folder of images.
    ``replay:clip.mp4``: a video, as if it were a camera. ``synthetic:fps=30``. A generator,
    iterable, callable or producer object. ``"module:Class"``.
    ``env:NAME``, ``keyring:SERVICE/USER`` and ``${NAME}`` stand for an address kept elsewhere.
    A ``Source`` stays as it is. ``options`` are the keywords of the class behind it; ``isolated``
    runs that in a process of its own, which may hang or crash.
    Raises ``ConfigError`` for what none of them takes.
    """
    if isinstance(reference, Source):
        if options or isolated:
            raise ConfigError("options belong to the source that was passed, give them to it")
        return reference
    name, argument, written = _recognised(reference)
    if _is_isolated(name, isolated):
        return _in_a_process(name, argument, {**written, **options})
    made = plugins.build(SOURCES, name, {**written, **options}, *argument)
    if not isinstance(made, Source):
        raise ConfigError(f"{name!r} is not a source: it lacks live, reference, read or interrupt")
    return made


def check_source(reference: Any, *, isolated: bool = False, **options: Any) -> None:
    """Raise the ``ConfigError`` that ``open_source`` would, without making or opening anything."""
    if isinstance(reference, Source):
        open_source(reference, **options)
        return
    name, argument, written = _recognised(reference)
    _is_isolated(name, isolated)
    plugins.check(plugins.load(SOURCES, name), name, {**written, **options}, *argument)
    if name in ("rtsp", "network", "http"):
        Locator(str(argument[0]), options.get("username"), options.get("password"))


@dataclass(frozen=True)
class Connection:
    """What a shared connection is opened with; its ``repr`` shows neither address nor options."""

    kind: str
    what: Hashable = field(repr=False)


def connection_of(reference: Any, **options: Any) -> Connection | None:
    """Equal for what reads one and the same device or address with the same options, credentials
    included. ``None`` for what is not to be shared. Raises ``ConfigError`` as ``open_source``."""
    if isinstance(reference, Source):
        return None
    name, argument, written = _recognised(reference)
    if name not in SHAREABLE:
        return None
    place = str(argument[0])
    place = f"/dev/video{place}" if name == "webcam" and place.isdecimal() else place
    what = (place, _frozen({**written, **options}))
    try:
        hash(what)
    except TypeError:
        return None
    return Connection(name, what)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(inner)) for key, inner in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def adapter_of(reference: Any) -> Callable[..., Any]:
    """The class (or function) that ``reference`` leads to. ``ConfigError`` where there is none."""
    return plugins.load(SOURCES, _recognised(reference)[0])


def options_from_properties(properties: Mapping[str, Any], reference: Any = None) -> dict[str, Any]:
    """Options out of an existing script's ``video_source_properties`` (``{"pos_msec": 500}``).

    With ``reference``, only what its source takes; the rest is passed over with one warning.
    Raises ``ConfigError`` for a name OpenCV does not have.
    """
    if reference is None:
        return options_from(properties)
    if isinstance(reference, Source):
        return options_from(properties, ())
    return options_from(properties, plugins.options_of(adapter_of(reference)))


def _is_isolated(name: str, wanted: object) -> bool:
    if not isinstance(wanted, bool):
        raise ConfigError("isolated is true or false")
    if wanted and name == "generator":
        raise ConfigError("isolated: what lives in this process cannot be read in another one")
    return wanted


def _in_a_process(name: str, argument: tuple[Any, ...], options: Mapping[str, Any]) -> Source:
    from streamkit.sources.isolated import IsolatedSource

    made_by = plugins.load(SOURCES, name)
    fitting = plugins.check(made_by, name, options, *argument)
    try:
        return IsolatedSource(made_by, argument, fitting)
    except StreamkitError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{name!r} cannot use what it was given: {error}") from error


def _recognised(reference: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The adapter's name, its positional argument, and options written in the reference."""
    if isinstance(reference, int) and not isinstance(reference, bool):
        return "webcam", (reference,), {}
    if isinstance(reference, Path):
        return _on_disk(reference)
    if isinstance(reference, str):
        return _written(reference)
    if callable(reference) or hasattr(reference, "__iter__") or hasattr(reference, "grab"):
        return "generator", (reference,), {}
    raise ConfigError(f"a {type(reference).__name__} is no video reference")


def _written(text: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    if not text.strip():
        raise ConfigError("an empty video reference: give a path, an address or a camera's number")
    if kept_elsewhere(text):
        return _written(located(text))[0], (text,), {}
    if text.isdecimal() or text.startswith("/dev/video"):
        return "webcam", (text,), {}
    if invented := _invented(text):
        return invented
    if text.lower().startswith("file://"):
        return _on_disk(Path(unquote(urlsplit(text).path)))
    if scheme := _SCHEME.match(text):
        return _of_scheme(scheme[1].lower()), (text,), {}
    if _CLASS.fullmatch(text) and not Path(text).exists():
        return text, (), {}
    return _on_disk(Path(text))


def _invented(text: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
    """What only behaves like a camera."""
    if text.startswith("synthetic:"):
        from streamkit.sources.synthetic import options_in

        return "synthetic", (text,), {**options_in(text)}
    if text.startswith("replay:"):
        return "replay", (text,), {}
    if text.startswith("TestPatternStreamProducer"):  # the neighbour's name for it
        return "synthetic", (), {"width": 1920, "height": 1080, "fps": 10.0}
    return None


def _of_scheme(scheme: str) -> str:
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in ("file", *_SCHEMES))
        raise ConfigError(f"{scheme}:// is no address of a video; known: {known}")
    return _SCHEMES[scheme]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, say
        return False


def _on_disk(path: Path) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    still = path.suffix.lower() in IMAGE_SUFFIXES or _is_folder(path)
    return ("images" if still else "file"), (path,), {}
