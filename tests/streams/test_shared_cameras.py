"""Several streams of one camera read one connection; none of them holds or ends another."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, SourceError, StreamErrorCode, StreamkitError
from streamkit.frame import Image
from streamkit.options import SourceReference
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.sources import connection_of
from streamkit.sources.base import Capture, Captures
from streamkit.streams.shared_picture import SharedPicture
from streamkit.streams.sharing import (
    MOST_LEFT,
    Connections,
    Hub,
    SharedSource,
    default_connections,
)
from tests.cameras import camera
from tests.clips import clip
from tests.fakes import Camera, Collector, Updates, numbers, picture, until


class Device:
    """Something that can be opened once at a time, and says how often it was."""

    def __init__(self, fps: float = 200.0, kind: type[Camera] = Camera) -> None:
        self.fps, self.kind = fps, kind
        self.cameras: list[Camera] = []
        self.connections = Connections()

    def open(self) -> Camera:
        made = self.kind(self.fps)
        self.cameras.append(made)
        return made

    def view(self) -> SharedSource:
        return SharedSource("key", self.open(), self.open, self.connections)

    @property
    def opened(self) -> int:
        return sum(one.opened for one in self.cameras)

    @property
    def open_now(self) -> int:
        return sum(one.opened - one.closed for one in self.cameras)


class Viewer:
    """Reads a view in a thread of its own, as far as it is let."""

    def __init__(self, view: SharedSource, patience: threading.Event | None = None) -> None:
        self.view, self.captures = view, list[Capture]()
        self.error: StreamkitError | None = None
        self._patience = patience
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            for capture in self.view.read():
                self.captures.append(capture)
                if self._patience is not None:
                    self._patience.wait()
        except StreamkitError as error:
            self.error = error

    def stop(self) -> None:
        self.view.interrupt()
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_three_views_are_one_connection_that_closes_with_the_last_of_them() -> None:
    device = Device()
    viewers = [Viewer(device.view()) for _ in range(3)]
    until(lambda: all(len(viewer.captures) > 5 for viewer in viewers))
    assert (device.opened, device.open_now, len(device.connections)) == (1, 1, 1)
    for viewer in viewers[:2]:
        viewer.stop()
    seen = len(viewers[2].captures)
    until(lambda: len(viewers[2].captures) > seen + 5)
    viewers[2].stop()
    assert (device.opened, device.open_now, len(device.connections)) == (1, 0, 0)
    again = Viewer(device.view())
    until(lambda: len(again.captures) > 2)
    again.stop()
    assert (device.opened, device.open_now) == (2, 0)


def test_a_view_that_does_not_read_misses_pictures_counted_and_holds_nobody() -> None:
    device, patience = Device(), threading.Event()
    slow, fast = Viewer(device.view(), patience), Viewer(device.view())
    until(lambda: len(fast.captures) > 40)
    assert len(slow.captures) == 1
    patience.set()
    until(lambda: len(slow.captures) > 3)
    assert sum(capture.missed for capture in slow.captures) > 30
    assert statistics.median(capture.missed for capture in fast.captures) == 0
    slow.stop()
    fast.stop()


def test_what_waited_for_a_slow_view_is_as_old_as_it_is() -> None:
    device, patience = Device(), threading.Event()
    slow, fast = Viewer(device.view(), patience), Viewer(device.view())
    until(lambda: len(slow.captures) == 1)
    seen = len(fast.captures)
    until(lambda: len(fast.captures) > seen + 3)
    device.cameras[0].silent.set()
    threading.Event().wait(0.3)
    patience.set()
    until(lambda: len(slow.captures) == 2)
    newest = fast.captures[-1].arrived
    assert newest is not None
    assert slow.captures[1].arrived == newest, "it says when it came, not when it was taken"
    slow.stop()
    fast.stop()


class Raw(Camera):
    """Nothing of it can be kept, which it finds out when the first packet comes."""

    kept = False

    def keep(self, rings: Sequence[PacketRing]) -> None:
        self.kept = bool(rings)

    def read(self) -> Captures:
        for capture in super().read():
            if self.kept:
                raise ConfigError("of these packets nothing can be kept")
            yield capture


@pytest.mark.parametrize("kind", [Camera, Raw])
def test_who_wants_packets_where_there_are_none_harms_nobody_else(kind: type[Camera]) -> None:
    device = Device(kind=kind)
    plain, recorded = Viewer(device.view()), device.view()
    until(lambda: len(plain.captures) > 2)
    recorded.keep([PacketRing(RingOptions())])
    refused = Viewer(recorded)
    until(lambda: refused.error is not None)
    assert isinstance(refused.error, ConfigError)
    if kind is Raw:  # its connection ends, and may be opened again
        until(lambda: plain.error is not None)
        assert plain.error is not None
        assert plain.error.code == StreamErrorCode.LOST
    else:
        plain.view.want(5)
        seen = len(plain.captures)
        until(lambda: len(plain.captures) > seen + 2)
        assert plain.error is None
    plain.stop()
    assert (device.open_now, len(device.connections)) == (0, 0)


def test_a_loss_reaches_every_view_as_an_error_of_its_own() -> None:
    device = Device()
    viewers = [Viewer(device.view()) for _ in range(3)]
    until(lambda: all(len(viewer.captures) > 2 for viewer in viewers))
    device.cameras[0].unplug()
    until(lambda: all(viewer.error is not None for viewer in viewers))
    assert {viewer.error and viewer.error.code for viewer in viewers} == {StreamErrorCode.LOST}
    assert len({id(viewer.error) for viewer in viewers}) == 3
    assert len(device.connections) == 0


def test_one_that_gave_up_a_hung_connection_gets_a_new_one_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamkit.streams.sharing._SILENT", 0.2)
    device = Device()
    first, second = Viewer(device.view()), Viewer(device.view())
    until(lambda: len(first.captures) > 2 and len(second.captures) > 2)
    device.cameras[0].silent.set()
    threading.Event().wait(0.3)
    first.stop()
    assert device.opened == 1
    third = Viewer(device.view())
    until(lambda: len(third.captures) > 2)
    until(lambda: second.error is not None)
    assert second.error is not None
    assert second.error.code is StreamErrorCode.TIMEOUT
    assert device.opened == 2
    until(lambda: device.open_now == 1)
    third.stop()


class Hanging(Camera):
    """Sits in a native call, deaf to everything, until it is told to wake."""

    def __init__(self, wake: threading.Event) -> None:
        super().__init__()
        self._wake = wake

    def read(self) -> Captures:
        self._wake.wait(30)
        yield from super().read()


def test_not_more_than_a_few_connections_that_hang_are_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamkit.streams.sharing._CLOSING", 0.02)
    wake, device = threading.Event(), Device()
    monkeypatch.setattr(device, "open", lambda: Hanging(wake))
    threads = threading.active_count()
    try:
        for _ in range(MOST_LEFT + 3):
            viewer = Viewer(device.view())
            viewer.stop()
        assert threading.active_count() == threads + MOST_LEFT
        assert viewer.view.left_behind == MOST_LEFT
        assert viewer.error is not None
        assert viewer.error.code is StreamErrorCode.TIMEOUT
        assert len(device.connections) == 0
    finally:
        wake.set()
    until(lambda: threading.active_count() == threads)
    assert viewer.view.left_behind == 0


def test_a_connection_for_which_there_is_no_thread_is_lost_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device()
    view = device.view()

    def refused(_hub: Hub) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(Hub, "start", refused)
        with pytest.raises(SourceError, match="no thread"):
            next(view.read())
    assert len(device.connections) == 0
    captures = view.read()
    next(captures)
    captures.close()


def test_no_more_is_decoded_than_the_one_that_wants_most_can_use() -> None:
    wishes: list[float | None] = []

    class Thrifty(Camera):
        def want(self, fps: float | None) -> None:
            wishes.append(fps)

    connections, device = Connections(), Thrifty()
    views = [SharedSource("key", device, lambda: device, connections) for _ in range(2)]
    for view, fps in zip(views, (5.0, 2.0), strict=True):
        view.want(fps)
    viewers = [Viewer(view) for view in views]
    until(lambda: all(len(viewer.captures) > 1 for viewer in viewers))
    assert wishes[-1] == 5.0
    views[1].want(None)
    assert wishes[-1] is None
    viewers[1].stop()
    assert wishes[-1] == 5.0
    viewers[0].stop()


def test_a_picture_of_several_readers_is_converted_once() -> None:
    class Lazy:
        width, height, conversions = 8, 8, 0

        def bgr(self) -> Image:
            self.conversions += 1
            return picture(7)

    lazy = Lazy()
    shared = SharedPicture(lazy)
    threads = [threading.Thread(target=shared.bgr) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lazy.conversions == 1
    assert shared.luma.max() == 7
    assert not shared.bgr().flags.writeable


def test_streams_that_come_and_go_at_random_leave_nothing_open() -> None:
    device = Device()

    def come_and_go() -> None:
        for _ in range(15):
            view = device.view()
            for _ in view.read():
                break

    threads = [threading.Thread(target=come_and_go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    until(lambda: device.open_now == 0 and len(device.connections) == 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("rtsp://c/1", {}), ("rtsp://c/1", {}), True),
        (("rtsp://c/1", {}), ("rtsp://c/2", {}), False),
        (("rtsp://c/1", {"transport": "udp"}), ("rtsp://c/1", {}), False),
        (("rtsp://u:a@c/1", {}), ("rtsp://u:b@c/1", {}), False),
        (("rtsp://c/1", {"password": "a"}), ("rtsp://c/1", {"password": "b"}), False),
        ((0, {}), ("/dev/video0", {}), True),
        (("0", {"width": 640, "height": 480}), (0, {"height": 480, "width": 640}), True),
    ],
)
def test_only_what_was_asked_for_alike_is_shared(one: Any, other: Any, same: bool) -> None:
    keys = [connection_of(reference, **options) for reference, options in (one, other)]
    assert None not in keys
    assert (keys[0] == keys[1]) is same


@pytest.mark.parametrize("reference", ["clip.mp4", "synthetic:", Camera(), iter(())])
def test_what_is_no_device_is_not_shared(reference: Any) -> None:
    assert connection_of(reference) is None


def test_a_connection_shows_nobody_its_password() -> None:
    key = connection_of("rtsp://me:hush@camera/1", password="quiet")
    assert "hush" not in repr(key)
    assert "quiet" not in repr(key)


# -- real cameras --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clips") / "thirty.mp4", frames=60, fps=30, gop=60)


def sessions(port: int) -> int:
    """TCP connections of this process to that port."""
    mine = psutil.Process().net_connections("tcp")
    return sum(
        bool(one.raddr) and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED
        for one in mine
    )


@contextmanager
def accounted(pipeline: InferencePipeline) -> Iterator[InferencePipeline]:
    with pipeline:
        yield pipeline
    stats = pipeline.stats()
    for stream in (*stats["streams"], *stats["removed"]):
        assert stream["in_flight"] == 0
        assert stream["captured"] == stream["delivered"] + sum(stream["dropped"].values())


def pipeline_of(sources: Any, **options: Any) -> InferencePipeline:
    return InferencePipeline.init_with_custom_logic(sources, numbers, **options)


@pytest.mark.rtsp
def test_three_streams_of_two_pipelines_open_one_session_and_each_recovers(thirty: Path) -> None:
    sink, other, updates = Collector(), Collector(), Updates()
    quick = {"restart_delay": 0.1, "restart_delay_max": 0.2}
    with camera(thirty) as cam:
        two = [SourceReference(cam.url, {**quick, "max_fps": fps}) for fps in (30, 5)]
        pipeline = pipeline_of(two, sinks=[sink], status_update_handlers=[updates])
        third = pipeline_of(SourceReference(cam.url, quick), sinks=[other])
        with accounted(pipeline), accounted(third):
            until(lambda: min(map(len, (sink.ids(0), sink.ids(1), other.ids()))) > 5)
            assert sessions(cam.port) == 1
            pipeline.pause_stream(0)
            seen = len(other.ids())
            until(lambda: len(other.ids()) > seen + 20)
            assert sessions(cam.port) == 1
            pipeline.resume_stream(0)
            seen = len(sink.ids(0))
            until(lambda: len(sink.ids(0)) > seen + 5)
            account = pipeline.remove_source(1)
            assert account["captured"] == account["delivered"] + sum(account["dropped"].values())
            seen = len(other.ids())
            cam.drop()
            updates.wait_for("SOURCE_RECOVERED")
            until(lambda: len(other.ids()) > seen + 30)
            until(lambda: sessions(cam.port) == 1)
        until(lambda: sessions(cam.port) == 0)
    assert len(default_connections()) == 0


@pytest.mark.rtsp
def test_one_who_comes_late_does_not_wait_for_a_key_frame(thirty: Path) -> None:
    """Key frames are two seconds apart; a connection of its own begins with one."""
    sink = Collector()
    with camera(thirty) as cam, accounted(pipeline_of(cam.url, sinks=[sink])) as pipeline:
        until(lambda: len(sink.ids(0)) > 5)
        number = pipeline.add_source(cam.url)
        until(lambda: len(sink.ids(number)) > 0)
        first = sink.ids(0)
        until(lambda: len(sink.ids(0)) > len(first) + 1)
        assert sessions(cam.port) == 1
        late = next(r for r in sink.results if r.frame.source_id == number)
        waited = late.frame.captured_at - next(
            r.frame.captured_at for r in sink.results if r.frame.frame_id == first[-1] - 1
        )
    assert waited < 1.0


@pytest.mark.rtsp
def test_who_wants_a_connection_of_its_own_gets_one(thirty: Path) -> None:
    sink = Collector()
    with camera(thirty) as cam:
        own = SourceReference(cam.url, {"share": False})
        with accounted(pipeline_of([cam.url, own], sinks=[sink])):
            until(lambda: len(sink.ids(0)) > 5 and len(sink.ids(1)) > 5)
            assert sessions(cam.port) == 2


@pytest.mark.rtsp
def test_a_new_transport_reconnects_one_stream_and_its_ids_go_on(thirty: Path) -> None:
    sink, updates = Collector(), Updates()
    with camera(thirty) as cam:
        pipeline = pipeline_of([cam.url, cam.url], sinks=[sink], status_update_handlers=[updates])
        with accounted(pipeline):
            until(lambda: len(sink.ids(0)) > 5 and len(sink.ids(1)) > 5)
            pipeline.reconfigure_source(1, transport="udp")
            until(lambda: sessions(cam.port) == 2)
            seen = len(sink.ids(1))
            until(lambda: len(sink.ids(1)) > seen + 10)
            pipeline.reconfigure_source(1, transport=None)
            until(lambda: sessions(cam.port) == 1)
    assert not updates.of("SOURCE_CONNECTION_LOST")
    assert sink.ids(1) == sorted(set(sink.ids(1)))
    gaps = [b - a for a, b in zip(sink.ids(0), sink.ids(0)[1:], strict=False)]
    assert gaps.count(1) > 0.95 * len(gaps)


@pytest.mark.rtsp
def test_a_password_that_is_put_right_is_tried_at_once(thirty: Path) -> None:
    sink, updates = Collector(), Updates()
    with camera(thirty, auth="digest", password="p@ss/w:rd") as cam:
        wrong = SourceReference(cam.open_url, {"username": "user", "password": "no"})
        pipeline = pipeline_of(wrong, sinks=[sink], status_update_handlers=[updates])
        with accounted(pipeline):
            updates.wait_for("SOURCE_CONNECTION_ATTEMPT_FAILED")
            pipeline.reconfigure_source(0, password="p@ss/w:rd")
            sink.await_results(3, timeout=15)
    assert "p@ss" not in repr(updates.all)
