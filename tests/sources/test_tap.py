"""The tap: every packet of every kind of source, whole, in order, at the time of its frame."""

from __future__ import annotations

import threading
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError
from streamkit.frame import VideoFrame
from streamkit.options import SourceReference
from streamkit.packets import Packet
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.sinks.remux import Remux
from streamkit.sources import open_source
from streamkit.sources.base import keep_packets
from streamkit.sources.tap import _Form, _Raw, _timed, _Times
from tests import fakes
from tests.cameras import camera, clock_camera
from tests.clips import clip
from tests.recording.making import numbers_of, packets_of

KINDS = [
    ("libx264", 0, ".mp4"), ("libx264", 2, ".mp4"), ("libx264", 2, ".ts"), ("libx264", 0, ".mkv"),
    ("libx265", 2, ".mp4"), ("mjpeg", 0, ".avi"),
]  # fmt: skip


def remuxed(packets: list[Packet], path: Path) -> Path:
    file = Remux(path, packets[0])
    for packet in packets:
        file.add(packet)
    file.finish()
    return path


@pytest.mark.parametrize(("codec", "b_frames", "suffix"), KINDS)
def test_what_is_kept_is_what_the_file_holds(
    tmp_path: Path, codec: str, b_frames: int, suffix: str
) -> None:
    source = clip(tmp_path / f"in{suffix}", frames=60, codec=codec, b_frames=b_frames)

    packets = list(packets_of(source))

    assert numbers_of([remuxed(packets, tmp_path / "out.mp4")]) == list(range(60))
    assert all(later.dts > earlier.dts for earlier, later in pairwise(packets))
    assert all(packet.dts <= packet.pts for packet in packets)
    assert len({id(packet.track) for packet in packets}) == 1
    times = sorted(packet.at - packets[0].at for packet in packets)
    assert times == pytest.approx([n / 25 for n in range(60)], abs=0.001)


def read_some(source: Any, count: int) -> list[Any]:
    with closing(source.read()) as captures:
        return [capture for _, capture in zip(range(count), captures, strict=False)]


def test_a_camera_loses_not_even_its_first_pictures(tmp_path: Path) -> None:
    """FFmpeg's RTSP does not know the time of the very first."""
    ring, source = PacketRing(RingOptions()), clip(tmp_path / "in.mp4", frames=500, gop=5)
    with camera(source, real_fps=25) as cam:
        opened = open_source(cam.url)
        keep_packets(opened, (ring,))
        captures = read_some(opened, 40)

    packets = list(ring.after(0).packets)
    assert len(packets) >= 40
    steps = {round((b.pts - a.pts) / 3600) for a, b in pairwise(packets)}
    assert steps == {1}
    numbers = numbers_of([remuxed(packets, tmp_path / "out.mp4")])
    assert numbers == list(range(numbers[0], numbers[0] + len(packets)))
    last = captures[-1].timestamp.timestamp()
    assert min(abs(last - packet.at) for packet in packets) < 0.05


def test_with_b_frames_the_camera_does_not_say_when_to_decode_the_first() -> None:
    ring = PacketRing(RingOptions())
    with clock_camera(bframes=2) as cam:
        source = open_source(cam.url)
        keep_packets(source, (ring,))
        read_some(source, 20)

    packets = list(ring.after(0).packets)
    assert packets[0].key
    assert packets[0].pts == min(packet.pts for packet in packets)
    assert len({packet.pts for packet in packets}) == len(packets) >= 20
    assert all(packet.dts <= packet.pts for packet in packets)
    assert all(later.dts > earlier.dts for earlier, later in pairwise(packets))


def test_the_streams_of_one_camera_keep_its_packets_in_common(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=100, gop=5)

    def seen(frames: list[VideoFrame]) -> list[Any]:
        return [None for _ in frames]

    with camera(source, real_fps=25) as cam:
        kept = SourceReference(cam.url, {"keep_packets": True})
        pipeline = InferencePipeline.init_with_custom_logic([kept, cam.url, kept], seen)
        with pipeline:
            fakes.until(lambda: all(s["delivered"] > 20 for s in pipeline.stats()["streams"]))
            rings = [stream.ring.after(0).packets for stream in pipeline._roster.streams]
            accounts = [stream["packets"] for stream in pipeline.stats()["streams"]]

    assert accounts[1] is None
    assert not rings[1]
    first, other = ({id(packet) for packet in rings[n]} for n in (0, 2))
    assert len(first & other) >= 10


def test_keeping_can_begin_and_end_while_it_runs(tmp_path: Path) -> None:
    source, frames = clip(tmp_path / "in.mp4", frames=100, gop=5), list[VideoFrame]()

    def seen(batch: list[VideoFrame]) -> list[Any]:
        frames.extend(batch)
        return [None for _ in batch]

    pipeline = InferencePipeline.init_with_custom_logic(f"replay:{source}", seen)
    with pipeline:
        fakes.until(lambda: len(frames) > 3)
        assert frames[-1].packets is None
        pipeline.reconfigure_source(0, keep_packets={"seconds": 5})
        fakes.until(lambda: frames[-1].packets is not None)
        fakes.until(lambda: len(frames[-1].packets.after(0).packets) > 3)  # type: ignore[union-attr]
        pipeline.reconfigure_source(0, keep_packets=False)
        fakes.until(lambda: frames[-1].packets is None)


def test_what_has_no_packets_says_what_to_do_instead() -> None:
    with pytest.raises(ConfigError, match="annotated video"):
        keep_packets(fakes.Camera(), (PacketRing(RingOptions()),))
    keep_packets(fakes.Camera(), ())


def straight(times: list[tuple[int | None, int | None]], *, live: bool) -> list[tuple[int, int]]:
    clock = _Times(Fraction(1, 1000), live=live)
    return [clock.of(pts, dts) for pts, dts in times]


def test_times_that_begin_anew_go_on() -> None:
    joined: list[tuple[int | None, int | None]] = [(n * 40, n * 40) for n in [*range(100)] * 2]

    found = straight(joined, live=False)

    assert found == [(n * 40, n * 40) for n in range(200)]


def test_times_that_stand_still_or_are_missing_move_on() -> None:
    found = straight([(0, 0), (40, 40), (40, 40), (None, None), (120, 120)], live=False)

    dts = [decoded for _, decoded in found]
    assert dts == sorted(set(dts))
    assert dts[-1] == 120
    assert all(pts >= decoded for pts, decoded in found)


def test_a_leap_of_a_cameras_clock_is_no_gap_in_the_recording() -> None:
    found = straight([(0, 0), (40, 40), (3_600_000, 3_600_000), (3_600_040, 3_600_040)], live=True)

    assert found[2][1] < 1000
    assert found[3][1] - found[2][1] == 40


def test_the_beginning_is_timed_from_what_follows() -> None:
    raw = [
        _Raw(b"I", True, None, None), _Raw(b"P", False, 160, None), _Raw(b"B", False, 80, None),
        _Raw(b"b", False, 120, 80),
    ]  # fmt: skip

    timed = list(_timed(raw))

    assert [packet.pts for packet in timed] == [40, 160, 80, 120]
    assert [packet.dts for packet in timed] == [-40, 0, 40, 80]


def test_a_reader_and_a_keeper_may_be_different_threads(tmp_path: Path) -> None:
    source = open_source(str(clip(tmp_path / "in.mp4", frames=300, gop=10)))
    ring = PacketRing(RingOptions(seconds=1))
    keep_packets(source, (ring,))
    reader = threading.Thread(target=lambda: [None for _ in source.read()])
    reader.start()

    cursor, got, missed = 0, 0, 0
    while reader.is_alive() or ring.after(cursor).packets:
        piece = ring.after(cursor)
        got, missed, cursor = got + len(piece.packets), missed + piece.missed, piece.last
    reader.join()

    assert got + missed == 300


def test_a_damaged_key_frame_begins_no_other_track(tmp_path: Path) -> None:
    packets = packets_of(clip(tmp_path / "in.mp4", frames=50, gop=10))
    whole = packets[0].data
    form = _Form("h264", packets[0].track.parameter_sets)
    mutilated = whole.replace(packets[0].track.parameter_sets[:12], b"\0\0\0\1\x67\x42\0\0\0\0\0\1")
    without = whole.removeprefix(packets[0].track.parameter_sets)

    assert form.whole(mutilated, False, True)[1] == packets[0].track.parameter_sets
    assert form.whole(without, True, True)[1] == packets[0].track.parameter_sets
    assert form.whole(without, True, True)[0].startswith(packets[0].track.parameter_sets)
    assert form.whole(mutilated, True, True)[1] != packets[0].track.parameter_sets
