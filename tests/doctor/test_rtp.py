"""Loss, order, jitter, rates, key frames and the camera's clock out of bare packets."""

from __future__ import annotations

import random
import struct

import pytest

from streamkit.doctor.rtp import Reception, kinds

IDR, SLICE, UNUSED = b"\x65", b"\x41", b"\x01"  # H.264: key, predicted from, needed by nobody


def packet(sequence: int, timestamp: int, payload: bytes = SLICE) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, sequence % 65536, timestamp % 2**32, 7) + payload


def sent(
    pictures: int, *, fps: float = 25.0, gop: int = 25, start: int = 0
) -> list[tuple[bytes, float]]:
    """Two packets per picture, at exactly the camera's pace."""
    stream = []
    for number in range(pictures):
        kind = IDR if number % gop == 0 else SLICE
        for part in range(2):
            data = packet(start + 2 * number + part, int(number * 90000 / fps), kind + b"x" * 99)
            stream.append((data, number / fps))
    return stream


def received(stream: list[tuple[bytes, float]], encoding: str = "H264") -> Reception:
    reception = Reception(encoding, 90000)
    for data, at in stream:
        reception.rtp(data, at)
    return reception


@pytest.mark.parametrize("start", [0, 65500])
def test_a_clean_stream_has_its_rates_and_nothing_lost(start: int) -> None:
    reception = received(sent(100, start=start))
    assert (reception.lost, reception.late, reception.packets) == (0, 0, 200)
    assert reception.fps == pytest.approx(25)
    assert reception.clock_fps == pytest.approx(25)
    assert reception.gop == 25
    assert reception.jitter == pytest.approx(0, abs=1e-4)
    assert reception.bitrate == pytest.approx(8 * 200 * 112 / (99 / 25))


def test_what_is_lost_late_or_sent_twice_is_told_apart() -> None:
    stream = sent(200, start=65300)
    gone = set(random.Random(3).sample(range(1, 399), 37))
    kept = [item for number, item in enumerate(stream) if number not in gone]
    assert received(kept).lost == 37
    kept[100], kept[101] = kept[101], kept[100]
    swapped = received(kept)
    assert (swapped.lost, swapped.late) == (37, 1)


def test_a_rate_that_is_not_the_declared_one_and_jitter_show() -> None:
    shaken = random.Random(1)
    stream = [(data, at + shaken.uniform(0, 0.01)) for data, at in sent(200, fps=12.5)]
    reception = received(stream)
    assert reception.fps == pytest.approx(12.5, rel=0.01)
    assert 0.001 < reception.jitter < 0.01


def test_the_burst_at_the_beginning_is_not_its_rate() -> None:
    stream = [(data, max(at, 1.0)) for data, at in sent(150)]
    assert received(stream).fps == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize("by", [3600.0, -20.0])
def test_a_jump_of_the_timestamps_is_told_and_is_no_jitter(by: float) -> None:
    before, after = sent(50), sent(50, start=100)
    moved = [
        (
            data[:4] + struct.pack("!I", int((n // 2 / 25 + 2 + by) * 90000) % 2**32) + data[8:],
            at + 2,
        )
        for n, (data, at) in enumerate(after)
    ]
    reception = received([*before, *moved])
    assert reception.jumps == 1
    assert reception.jitter == pytest.approx(0, abs=1e-3)


def test_a_pause_of_the_network_is_no_jump() -> None:
    stream = [(data, max(at, 6.0) if at > 3 else at) for data, at in sent(200)]
    assert received(stream).jumps == 0


def test_what_is_late_on_its_way_is_not_the_clocks_fault() -> None:
    reception = Reception("H264", 90000)
    for delay in (3.0, 0.02, 1.0):
        ntp = (1_800_000_000 + 2208988800) * 2**32
        reception.rtcp(struct.pack("!BBHIQIII", 0x80, 200, 6, 7, ntp, 0, 0, 0), 1.8e9 + delay)
    assert reception.skew == pytest.approx(0.02, abs=1e-3)


def test_sender_reports_tell_how_far_the_clocks_are_apart() -> None:
    reception = Reception("H264", 90000)
    for second in range(5):
        camera = 1_800_000_000 + second - 90.5  # it is a minute and a half behind
        ntp = int((camera + 2208988800) * 2**32)
        report = struct.pack("!BBHIQIII", 0x80, 200, 6, 7, ntp, 0, 0, 0)
        other = struct.pack("!BBHI", 0x80, 202, 1, 7)
        reception.rtcp(other + report, 1_800_000_000 + second)
    assert reception.skew == pytest.approx(90.5, abs=1e-3)
    reception.rtcp(b"\x80\xc8", 0.0)  # cut short: passed over
    assert len(reception.skews) == 5


@pytest.mark.parametrize(
    ("encoding", "payload", "found"),
    [
        ("H264", IDR, [(True, True)]),
        ("H264", UNUSED, [(False, False)]),
        ("H264", bytes([0x7C, 0x85]), [(True, True)]),  # FU-A, first part of a key frame
        ("H264", b"\x78\x00\x02\x67\x00\x00\x02\x65\x00", [(True, True)]),  # STAP-A: SPS, key
        ("H264", b"\x67", []),  # parameters only
        ("H265", bytes([19 << 1, 1]), [(True, True)]),
        ("H265", bytes([0, 1]), [(False, False)]),  # TRAIL_N
        ("H265", bytes([1 << 1, 1]), [(False, True)]),
        ("H265", bytes([49 << 1, 1, 0x80 | 20]), [(True, True)]),
        ("H265", b"\x60\x01\x00\x02\x42\x01\x00\x02\x26\x01", [(True, True)]),
        ("JPEG", b"\x00", [(True, True)]),
        ("H264", b"", []),
        ("H265", b"", []),
    ],
)  # fmt: skip
def test_key_frames_are_known_by_their_units(
    encoding: str, payload: bytes, found: list[tuple[bool, bool]]
) -> None:
    assert list(kinds(encoding, payload)) == found


def test_no_bytes_whatever_break_it() -> None:
    dice = random.Random(5)
    reception = Reception("H264", 90000)
    for encoding in ("H264", "H265", "JPEG", "AV1"):
        reception.encoding = encoding
        for _ in range(3000):
            data = dice.randbytes(dice.randint(0, 60))
            reception.rtp(b"\x80" + data if dice.random() < 0.5 else data, dice.random())
            reception.rtcp(data, 0.0)
    assert 0.0 <= reception.loss <= 1.0
