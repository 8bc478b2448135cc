"""A pipeline's options, from the arguments of its factories; checked before anything starts."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from streamkit import plugins
from streamkit.buffering import (
    BufferConsumptionStrategy,
    BufferFillingStrategy,
    Buffering,
    VideoProcessingMode,
    choice,
)
from streamkit.errors import ConfigError
from streamkit.models.base import InferenceOptions
from streamkit.predictions import Result
from streamkit.settings import Settings
from streamkit.sinks.base import Sink
from streamkit.sources import (
    adapter_of,
    check_source,
    connection_of,
    open_source,
    options_from_properties,
)
from streamkit.sources.base import Source, no_packets
from streamkit.sources.reference import printable
from streamkit.streams.options import STREAM_OPTIONS, StreamOptions, split
from streamkit.streams.sharing import SharedSource, default_connections
from streamkit.streams.steps import Stage
from streamkit.watchdog import PipelineWatchDog

log = logging.getLogger(__name__)

OnPrediction: TypeAlias = Callable[[Any, Any], None]
Properties: TypeAlias = Mapping[str, float | int | str] | Sequence[Mapping[str, Any] | None]
_ROUND_WAIT = 0.1
"""Seconds a round of several live sources waits for its last member, unless told otherwise."""


_CALLED = ("on_prediction", "on_result", "on_pipeline_start", "on_pipeline_end", "on_video_frame")


class SinkMode(Enum):
    """How ``on_prediction`` is called: per frame, or with lists aligned to the sources.

    Lists have one place for each source there is, in the order of their ids; what was under way
    when its source was removed still has its own. ``ADAPTIVE`` is decided when a run starts: per
    frame if it has one source then, else lists, and stays so whatever is added and removed.
    """

    ADAPTIVE = "adaptive"
    BATCH = "batch"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True)
class PipelineOptions:
    """Everything about a pipeline that is neither its sources nor its model."""

    on_prediction: OnPrediction | None = None
    on_result: Callable[[Result], None] | None = None
    sinks: Sequence[Sink | Callable[[], Sink]] = ()
    """Sinks, or functions that make one for each run."""
    stages: Sequence[Callable[[], Stage]] = ()
    """Functions that make a stage for each stream."""
    on_start: Callable[[], None] | None = None
    on_end: Callable[[], None] | None = None
    watchdog: PipelineWatchDog | None = None
    stream: StreamOptions = field(default_factory=StreamOptions)
    """What holds for every stream unless its source says otherwise."""
    buffering: Buffering = field(default_factory=Buffering)
    sink_mode: SinkMode = SinkMode.ADAPTIVE
    round_wait: float = _ROUND_WAIT
    queue_size: int = 512
    keep_alive: bool = False
    """A run goes on without any source: some may be added."""


def note_active_learning(enabled: bool | None) -> None:
    if enabled:
        log.warning("active_learning_enabled: streamkit does not collect pictures; ignored")


@dataclass(frozen=True)
class SourceReference:
    """A reference together with options of its stream and of the adapter it leads to, mixed.

    ``SourceReference("rtsp://camera/1", {"max_fps": 5, "transport": "udp"})``: wherever a
    reference is taken. Its ``repr`` shows no options, for one may be a password.
    """

    reference: Any = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    key: str | None = field(default=None, kw_only=True)
    """What a document calls it."""
    stages: Sequence[Callable[[], Stage]] | None = field(default=None, kw_only=True, repr=False)
    """Make its own stages, in place of the pipeline's."""


@dataclass(frozen=True)
class StreamPlan:
    """One stream before it exists."""

    options: StreamOptions
    reference: Any = field(repr=False)
    adapter: Mapping[str, Any] = field(repr=False)
    """The adapter's own options."""
    key: str | None = None
    """What a document calls it."""
    stages: Sequence[Callable[[], Stage]] | None = field(default=None, repr=False)
    """Make its own stages, in place of the pipeline's."""

    def __post_init__(self) -> None:
        if self.options.keep_packets:
            _check_packets(self.reference, self.adapter)

    def open(self) -> Source:
        """A new source; one that reads a connection together with others, where it can."""
        source = open_source(self.reference, **self.adapter)
        key = connection_of(self.reference, **self.adapter) if self.options.share else None
        if key is None or not source.live:
            return source
        return SharedSource(
            key, source, lambda: open_source(self.reference, **self.adapter), default_connections()
        )

    def same_source(self, other: StreamPlan) -> bool:
        """Whether going over to ``other`` needs no new connection."""
        return (
            _same(self.reference, other.reference)
            and dict(self.adapter) == dict(other.adapter)
            and self.options.share is other.options.share
        )

    def but(self, changes: Mapping[str, Any]) -> StreamPlan:
        """This plan with other options of the stream or of the adapter; ``None`` takes one of the
        adapter's back. Another ``reference`` starts without the adapter's options it had: its
        host is not to be told the password of another. Raises ``ConfigError`` like ``plan``."""
        own, adapter = split(changes)
        reference = adapter.pop("reference", self.reference)
        kept = self.adapter if _same(reference, self.reference) else {}
        options = {**kept, **adapter}
        options = {name: value for name, value in options.items() if value is not None}
        _check(reference, options)
        return replace(self, options=self.options.but(own), reference=reference, adapter=options)


def _same(one: Any, other: Any) -> bool:
    """Whether both references are known to mean the same."""
    return one is other or (isinstance(one, str | int | Path) and bool(one == other))


def plans(
    reference: Any,
    properties: Properties | None,
    defaults: StreamOptions,
    *,
    keep_alive: bool = False,
) -> list[StreamPlan]:
    """One plan per source. Raises ``ConfigError`` for wrong options, and for no source at all
    unless they may come later."""
    references = list(reference) if isinstance(reference, list) else [reference]
    if not references and not keep_alive:
        raise ConfigError("video_reference=[]: name at least one source, or keep_alive=True")
    if properties is None or isinstance(properties, Mapping):
        each: list[Mapping[str, Any] | None] = [properties] * len(references)
    else:
        each = list(properties)
    if len(each) != len(references):
        raise ConfigError(
            f"video_source_properties has {len(each)} entries for {len(references)} sources"
        )
    return [plan(one, own, defaults) for one, own in zip(references, each, strict=True)]


def plan(
    reference: Any, properties: Mapping[str, Any] | None, defaults: StreamOptions
) -> StreamPlan:
    """How to open ``reference``, and what is wanted of its stream."""
    own: dict[str, Any] = {}
    options: dict[str, Any] = {}
    key, stages = None, None
    if isinstance(reference, SourceReference):
        own, options = split(reference.options)
        key, stages, reference = reference.key, reference.stages, reference.reference
    if properties:
        options |= options_from_properties(properties, reference)
    try:
        _check(reference, options)
        return StreamPlan(defaults.but(own), reference, options, key, stages)
    except ConfigError as error:
        raise ConfigError(_placed(str(error), reference)) from error


def _check(reference: Any, options: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for what does not fit, naming what both would take."""
    try:
        check_source(reference, **options)
    except ConfigError as error:
        if "takes no option" not in str(error):
            raise
        unknown = sorted(set(options) - set(plugins.options_of(adapter_of(reference))))
        meant = plugins.nearest(unknown[0], STREAM_OPTIONS)
        known = ", ".join(sorted(STREAM_OPTIONS))
        raise ConfigError(f"{error}; and its stream takes{meant}: {known}") from error


def _check_packets(reference: Any, options: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` where it is known beforehand that there are no packets to keep."""
    if options.get("isolated"):
        raise ConfigError(
            f"{_named(reference)}: keep_packets: an isolated source keeps its packets in its own "
            "process; leave out 'isolated', or record annotated video (the sink 'video') instead"
        )
    made = reference if isinstance(reference, Source) else adapter_of(reference)
    if isinstance(made, type | Source) and not hasattr(made, "keep"):
        raise no_packets(_named(reference))


def _named(reference: Any) -> str:
    """What to call a source that does not exist yet."""
    return printable(reference) if isinstance(reference, str | int) else type(reference).__name__


def _placed(said: str, reference: Any) -> str:
    """What is wrong with a source, and with which one."""
    name = _named(reference)
    return said if name in said else f"{name}: {said}"


def inference_options(settings: Settings, **given: Any) -> InferenceOptions:
    defaults = {
        name: getattr(settings, name) for name in given if name in type(settings).model_fields
    }
    return InferenceOptions(**defaults | {k: v for k, v in given.items() if v is not None})


def options_from(given: Mapping[str, Any], settings: Settings) -> PipelineOptions:
    """The arguments of a factory as options; ``None`` means the setting."""
    for name in _CALLED:
        if given.get(name) is not None and not callable(given[name]):
            raise ConfigError(f"{name}={given[name]!r}: give a function")
    timeout = _amount(given, "batch_collection_timeout")
    queue_size = _amount(given, "predictions_queue_size")
    return PipelineOptions(
        on_prediction=given["on_prediction"],
        on_result=given["on_result"],
        sinks=_makers(given, "sinks"),
        stages=_makers(given, "stages"),
        on_start=given.get("on_pipeline_start"),
        on_end=given.get("on_pipeline_end"),
        watchdog=given["watchdog"],
        stream=_stream_options(given, settings),
        buffering=_buffering(given, settings),
        sink_mode=_sink_mode(given["sink_mode"]),
        round_wait=_ROUND_WAIT if timeout is None else timeout,
        queue_size=int(queue_size or settings.predictions_queue_size),
        keep_alive=bool(given["keep_alive"]),
    )


def _makers(given: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Stages or sinks: classes and functions that make one without being told anything more.

    A sink may also come made. Raises ``ConfigError`` for anything else, before anything starts.
    """
    makers = given[name]
    if isinstance(makers, str) or not isinstance(makers, Sequence):
        raise ConfigError(f"{name}={makers!r}: give a list")
    for maker in makers:
        if name == "sinks" and isinstance(maker, Sink) and not isinstance(maker, type):
            continue
        try:
            inspect.signature(maker).bind()
        except TypeError as error:
            raise ConfigError(
                f"{name}: {maker!r} makes none; give a class or a function without arguments"
            ) from error
        except ValueError:  # some builtins have no signature: they take whatever comes
            continue
    return makers


def _stream_options(given: Mapping[str, Any], settings: Settings) -> StreamOptions:
    wanted = given.get("stream") or {}
    if not isinstance(wanted, Mapping):
        raise ConfigError("stream: give options by name")
    return StreamOptions(
        max_fps=_amount(given, "max_fps"),
        max_staleness=_amount(given, "max_staleness"),
        thin_files=settings.drop_file_frames,
        share=not _waits(given["source_buffer_filling_strategy"]),
        retry_first=not given["require_sources"],
        restart_delay=settings.restart_delay,
        restart_delay_max=settings.restart_delay_max,
    ).but(wanted)


def usual_options(
    *,
    max_fps: float | None,
    max_staleness: float | None,
    stream: Mapping[str, Any],
    require_sources: bool,
) -> StreamOptions:
    """What ``InferencePipeline.init`` would want of streams that say nothing."""
    given: dict[str, Any] = {"max_fps": max_fps, "max_staleness": max_staleness, "stream": stream}
    more = {"require_sources": require_sources, "source_buffer_filling_strategy": None}
    return _stream_options({**given, **more}, Settings.load())


def _waits(filling: Any) -> bool:
    """A reader that is to wait has to hold its camera, which is nobody else's then."""
    wanted = choice(BufferFillingStrategy, filling, "source_buffer_filling_strategy")
    return wanted is BufferFillingStrategy.WAIT


def _buffering(given: Mapping[str, Any], settings: Settings) -> Buffering:
    size = _amount(given, "decoding_buffer_size")
    filling = given["source_buffer_filling_strategy"]
    consumption = given["source_buffer_consumption_strategy"]
    mode = choice(VideoProcessingMode, given["video_processing_mode"], "video_processing_mode")
    return Buffering(
        choice(BufferFillingStrategy, filling, "source_buffer_filling_strategy"),
        choice(BufferConsumptionStrategy, consumption, "source_buffer_consumption_strategy"),
        mode or VideoProcessingMode.AUTO,
        settings.buffer_size if size is None else int(size),
    )


def _amount(given: Mapping[str, Any], name: str) -> float | None:
    value = given[name]
    if value is None:
        return None
    try:
        amount = float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}={value!r}: give a number") from error
    if not amount >= 0:
        raise ConfigError(f"{name}={value!r}: give a number that is not below 0")
    return amount


def _sink_mode(value: SinkMode | str) -> SinkMode:
    if isinstance(value, SinkMode):
        return value
    for mode in SinkMode:
        if mode.value == str(value).lower():
            return mode
    raise ConfigError(f"sink_mode={value!r}: choose one of {[mode.value for mode in SinkMode]}")
