"""The pipeline: sources, through one shared model and each stream's stages, into sinks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from streamkit.buffering import (
    BufferConsumptionStrategy,
    BufferFillingStrategy,
    VideoProcessingMode,
)
from streamkit.changes import Changeable
from streamkit.clock import heed
from streamkit.delivery import Delivery
from streamkit.dispatch import deliveries_of
from streamkit.engine import Engine, ModelEngine, OnVideoFrame
from streamkit.engines import Engines
from streamkit.errors import StreamOperationNotAllowedError
from streamkit.events import Reporter, StatusHandler
from streamkit.function import FunctionEngine
from streamkit.models.base import MaskDecodeMode
from streamkit.options import (
    OnPrediction,
    PipelineOptions,
    Properties,
    SinkMode,
    StreamPlan,
    inference_options,
    note_active_learning,
    options_from,
    plans,
)
from streamkit.predictions import Result
from streamkit.quality import control_of
from streamkit.roster import Roster
from streamkit.run import Parts, Run
from streamkit.settings import Settings
from streamkit.sinks.base import Sink
from streamkit.streams.state import StreamState
from streamkit.streams.steps import Stage
from streamkit.watchdog import NullPipelineWatchdog, PipelineWatchDog

if TYPE_CHECKING:
    from streamkit.models.manager import ModelManager

_TERMINATE = 1.9
"""Seconds ``terminate`` waits for the run to end."""


class InferencePipeline(Changeable):
    """Point it at cameras and a model. Made by ``init`` or ``init_with_custom_logic``.

    ``start`` and ``join`` as in the neighbour; or ``with InferencePipeline.init(...) as pipeline:``
    which starts it and, at the end of the block, stops it. May be started again after its end;
    frame ids then go on.
    """

    def __init__(
        self,
        engine: Engine,
        plans: Sequence[StreamPlan],
        options: PipelineOptions,
        reporter: Reporter,
    ) -> None:
        self._engine, self._options, self._reporter = engine, options, reporter
        self._watchdog = options.watchdog or NullPipelineWatchdog()
        if options.watchdog is not None:
            reporter.add([options.watchdog.on_status_update])
        self._roster = Roster(
            plans, options.buffering, reporter, self._watchdog.register_video_sources
        )
        self._lock = threading.RLock()
        self._deliveries: list[Delivery] = []
        self._numbers = itertools.count(len(options.sinks))
        self._run: Run | None = None

    # -- making one --------------------------------------------------------------------------

    @classmethod
    def init(  # noqa: PLR0913 - the neighbour's signature, order and defaults; ours after the star
        cls,
        video_reference: Any,
        model_id: Any,
        on_prediction: OnPrediction | None = None,
        api_key: str | None = None,
        max_fps: float | None = None,
        watchdog: PipelineWatchDog | None = None,
        status_update_handlers: list[StatusHandler] | None = None,
        source_buffer_filling_strategy: BufferFillingStrategy | str | None = None,
        source_buffer_consumption_strategy: BufferConsumptionStrategy | str | None = None,
        class_agnostic_nms: bool | None = None,
        confidence: float | None = None,
        iou_threshold: float | None = None,
        max_candidates: int | None = None,
        max_detections: int | None = None,
        mask_decode_mode: MaskDecodeMode | None = "accurate",
        tradeoff_factor: float | None = 0.0,
        active_learning_enabled: bool | None = None,
        video_source_properties: Properties | None = None,
        active_learning_target_dataset: str | None = None,
        batch_collection_timeout: float | None = None,
        video_processing_mode: VideoProcessingMode | str | None = None,
        max_staleness: float | None = None,
        sink_mode: SinkMode | str = SinkMode.ADAPTIVE,
        predictions_queue_size: int | None = None,
        decoding_buffer_size: int | None = None,
        exec_session_id: str | None = None,
        *,
        keypoint_confidence: float | None = None,
        on_result: Callable[[Result], None] | None = None,
        sinks: Sequence[Sink | Callable[[], Sink]] = (),
        stages: Sequence[Callable[[], Stage]] = (),
        require_sources: bool = False,
        keep_alive: bool = False,
        stream: Mapping[str, Any] | None = None,
        degrade: bool | Mapping[str, Any] = False,
        ladder: Sequence[str] = (),
        admission: bool | Mapping[str, Any] = False,
        manager: ModelManager | None = None,
    ) -> Self:
        """Run a model over sources.

        ``video_reference``: a path, URL, camera index, callable, iterable or ``Source``, or a list
        of those. ``model_id``: ``dataset/version``, an alias, a folder of artifacts or an
        ``.onnx`` file; it is loaded before this returns, and shared with whoever else uses it.

        ``on_prediction(predictions, frame)`` gets plain dicts; with several sources lists aligned
        to them, ``None`` where one has nothing (``sink_mode``: adaptive, batch, sequential; a round
        of live sources waits ``batch_collection_timeout`` seconds for its last member).
        ``on_result(result)`` gets columns. ``sinks``: sinks, or functions that make one for each
        run; ``stages``: functions that make one for each stream.

        Live sources deliver the newest frame, files every one. ``max_fps`` is per source; frames
        older than ``max_staleness`` seconds are dropped; ``video_processing_mode="every_frame"``,
        the buffer strategies and ``decoding_buffer_size`` choose otherwise, as in the neighbour.
        ``confidence``, ``iou_threshold`` and so on default to the settings (0.4, 0.3).
        ``require_sources``: ``start`` raises when a source cannot be opened, instead of trying on.
        ``keep_alive``: a run without sources goes on until stopped; ``add_source`` gives it some.
        ``stream``: ``StreamOptions`` of every source that does not say otherwise. ``degrade``:
        under overload lower rates, then a smaller input, then the models of ``ladder``.
        ``admission``: refuse live sources for which the model has no room.

        Raises ``ConfigError``, ``ModelNotFoundError``, ``ModelArtefactError``.
        """
        from streamkit.models.manager import default_manager

        settings = Settings.load()
        reporter = Reporter(list(status_update_handlers or []))
        note_active_learning(active_learning_enabled)
        inference = inference_options(
            settings,
            class_agnostic_nms=class_agnostic_nms,
            confidence=confidence,
            iou_threshold=iou_threshold,
            max_candidates=max_candidates,
            max_detections=max_detections,
            mask_decode_mode=mask_decode_mode,
            tradeoff_factor=tradeoff_factor,
            keypoint_confidence=keypoint_confidence,
        )
        options = options_from(locals(), settings)
        key = api_key or settings.api_key
        control = control_of(degrade, ladder, admission)
        models = manager or default_manager()
        streams = plans(
            video_reference,
            video_source_properties,
            options.stream,
            keep_alive=keep_alive,
        )

        def made(model_id: Any) -> ModelEngine:
            return ModelEngine(model_id, key, inference, reporter, models, control)

        engine = Engines(model_id, made, [plan.options.model_id for plan in streams])
        engine.load()
        return cls(engine, streams, options, reporter)

    @classmethod
    def init_with_custom_logic(  # noqa: PLR0913 - the neighbour's signature; ours after the star
        cls,
        video_reference: Any,
        on_video_frame: OnVideoFrame,
        on_prediction: OnPrediction | None = None,
        on_pipeline_start: Callable[[], None] | None = None,
        on_pipeline_end: Callable[[], None] | None = None,
        max_fps: float | None = None,
        watchdog: PipelineWatchDog | None = None,
        status_update_handlers: list[StatusHandler] | None = None,
        source_buffer_filling_strategy: BufferFillingStrategy | str | None = None,
        source_buffer_consumption_strategy: BufferConsumptionStrategy | str | None = None,
        video_source_properties: Properties | None = None,
        batch_collection_timeout: float | None = None,
        video_processing_mode: VideoProcessingMode | str | None = None,
        max_staleness: float | None = None,
        sink_mode: SinkMode | str = SinkMode.ADAPTIVE,
        predictions_queue_size: int | None = None,
        decoding_buffer_size: int | None = None,
        exec_session_id: str | None = None,
        allow_tensor_frames: bool = False,
        *,
        on_result: Callable[[Result], None] | None = None,
        sinks: Sequence[Sink | Callable[[], Sink]] = (),
        stages: Sequence[Callable[[], Stage]] = (),
        require_sources: bool = False,
        keep_alive: bool = False,
        stream: Mapping[str, Any] | None = None,
    ) -> Self:
        """Run a function over sources.

        ``on_video_frame`` gets a list with one frame of one or more sources and returns one
        prediction (anything) for each. It runs on one thread. The rest as in ``init``.
        """
        options = options_from(locals(), Settings.load())
        streams = plans(
            video_reference,
            video_source_properties,
            options.stream,
            keep_alive=keep_alive,
        )
        engine = FunctionEngine(on_video_frame, options.round_wait)
        return cls(engine, streams, options, Reporter(list(status_update_handlers or [])))

    # -- the life of a run -------------------------------------------------------------------

    def start(self, use_main_thread: bool = True) -> None:
        """Begin. With ``use_main_thread``, ``on_prediction`` is called from this thread, and this
        returns when the run has ended; otherwise at once. What ended the run is raised by ``join``.

        Raises ``StreamOperationNotAllowedError`` while running, and what a source failed with
        where the pipeline was made with ``require_sources``.
        """
        with self._lock:
            if self.running:
                raise StreamOperationNotAllowedError("the pipeline is already running")
            self._deliveries, main = deliveries_of(
                self._options, lambda: self._roster.ids, self._reporter
            )
            self._run = run = Run(self._parts())
        try:
            self._play(run, main if use_main_thread else None)
            if use_main_thread:
                heed(run.done)
        except BaseException:
            self.terminate()
            raise

    def _play(self, run: Run, in_caller: Delivery | None) -> None:
        run.start(in_caller=in_caller)
        try:
            self._begun(run)
        except BaseException:
            run.stop()
            raise
        finally:
            if in_caller is not None:
                in_caller.run()

    def _begun(self, run: Run) -> None:
        if not self._options.stream.retry_first and (error := run.connected()) is not None:
            raise error

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end; raises what ended the run (nothing after ``terminate``).

        Ctrl-C stops the run first. ``TimeoutError`` when ``timeout`` seconds were not enough,
        ``StreamOperationNotAllowedError`` in a callback, which would wait for itself.
        """
        run = self._run
        if run is None:
            return
        if run.inside() and not run.done.is_set():
            raise StreamOperationNotAllowedError("join() in a callback would wait for itself")
        try:
            if not heed(run.done, timeout):
                raise TimeoutError(f"the pipeline is still running after {timeout} s")
        except KeyboardInterrupt:
            self.terminate()
            raise
        if run.error is not None:
            raise run.error

    def terminate(self) -> None:
        """Stop, within two seconds, whatever the sources, the model and the sinks are doing.

        Frames on their way are dropped and counted; results that wait for sinks are written while
        time allows. May be called in any state, any number of times, from any thread; in a
        callback it does not wait.
        """
        run = self._run
        if run is None:
            return
        run.stop()
        if not run.inside():
            run.done.wait(_TERMINATE)

    def __enter__(self) -> Self:
        if self._run is None or self._run.done.is_set():
            self.start(use_main_thread=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    # -- one stream --------------------------------------------------------------------------

    def pause_stream(self, source_id: int | None = None) -> None:
        """Stop reading this source (or all); a live one is let go until it is resumed."""
        self._switch(source_id, StreamState.PAUSED)

    def mute_stream(self, source_id: int | None = None) -> None:
        """Keep reading this source (or all) and drop every frame, counted."""
        self._switch(source_id, StreamState.MUTED)

    def resume_stream(self, source_id: int | None = None) -> None:
        """Go on after ``pause_stream`` or ``mute_stream``."""
        self._switch(source_id, StreamState.RUNNING)

    def _switch(self, source_id: int | None, wanted: StreamState) -> None:
        chosen = self._roster.find(source_id)
        running = [s for s in chosen if not s.machine.over]
        for stream in running if source_id is None else chosen:
            stream.switch(wanted)

    # -- what is going on --------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Accounts and ages of streams and sinks, and the model's times; plain and JSON-ready.

        ``removed``: the same of the last 64 sources that were removed.
        """
        return {
            "streams": [stream.stats() for stream in self._roster.streams],
            "removed": self._roster.removed(),
            "sinks": [delivery.stats() for delivery in self._deliveries],
            "model": self._engine.stats(),
        }

    @property
    def running(self) -> bool:
        """Started, and not yet at its end."""
        return self._run is not None and not self._run.done.is_set()

    # -- assembly ----------------------------------------------------------------------------

    def _parts(self) -> Parts:
        options = self._options
        return Parts(
            engine=self._engine,
            streams=self._roster.streams,
            deliveries=self._deliveries,
            stages=self._makers_for,
            reporter=self._reporter,
            watchdog=self._watchdog,
            on_start=options.on_start,
            on_end=options.on_end,
            keep_alive=options.keep_alive,
        )
