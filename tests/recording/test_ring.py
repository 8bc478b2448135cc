"""The ring of packets: bounded, in whole groups of pictures, and nobody loses count."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest

from streamkit.errors import ConfigError
from streamkit.packets import Packet, Track
from streamkit.recording.ring import PacketRing, RingOptions
from tests.recording.making import packet, stream


def ring_of(packets: list[Packet], **options: Any) -> PacketRing:
    ring = PacketRing(RingOptions(**options))
    for each in packets:
        ring.put(each)
    return ring


def test_whole_groups_are_evicted_and_the_asked_time_stays() -> None:
    packets = stream(43)

    ring = ring_of(packets, seconds=2.0)

    kept = ring.after(0).packets
    assert kept[0].key
    assert kept == packets[20:]
    assert kept[-1].at - kept[0].at >= 2.0
    assert ring.stats()["evicted"] == 20


def test_bytes_are_a_hard_limit_even_for_one_endless_group() -> None:
    ring = PacketRing(RingOptions(megabytes=0.001))
    ring.put(packet(0, key=True, size=400))

    for number in range(1, 50):
        ring.put(packet(number, size=400))
        assert ring.stats()["bytes"] <= 1000
    ring.put(packet(50, key=True, size=400))

    assert [p.key for p in ring.after(0).packets] == [True]
    assert ring.stats() == {
        "packets": 1, "bytes": 400, "seconds": 0.0, "evicted": 3, "headless": 47, "tracks": 1,
    }  # fmt: skip


def test_a_recording_begins_with_the_key_frame_at_or_before_the_asked_time() -> None:
    ring = ring_of(stream(40))

    for asked, first in ((2.0, 20), (2.05, 20), (2.49, 20), (2.5, 25), (99.0, 35), (-1.0, 0)):
        assert ring.after(ring.before(asked)).packets[0].pts == first * 9000


def test_who_comes_too_late_is_told_how_much_is_gone() -> None:
    ring = ring_of(stream(43), seconds=2.0)

    piece = ring.after(7)

    assert piece.missed == 13
    assert piece.last == 43
    assert ring.after(43) == ([], 43, 0)


def test_a_new_track_begins_with_its_first_key_frame() -> None:
    other = Track("h264", b"", Fraction(1, 90_000))
    late = [packet(10, track=other), packet(11, key=True, track=other), packet(12, track=other)]

    ring = ring_of(stream(10) + late)

    kept = ring.after(0).packets
    assert [p.pts // 9000 for p in kept] == [*range(10), 11, 12]
    assert [p.track is other for p in kept] == [False] * 10 + [True] * 2
    assert ring.stats()["headless"] == 1


def test_after_the_clock_was_set_back_nothing_older_is_looked_for() -> None:
    late = [packet(n, key=n % 5 == 0, at=n / 10 - 3600) for n in range(20, 40)]
    ring = ring_of(stream(20) + late)

    assert ring.after(ring.before(late[12].at)).packets[0] is late[10]
    assert ring.after(ring.before(late[0].at - 5)).packets[0] is late[0]


def test_nothing_from_before_an_outage_where_the_asked_time_lies_in_it_or_after() -> None:
    other = Track("h264", b"", Fraction(1, 90_000))
    back = [packet(n, key=n % 5 == 0, at=20 + n / 10, track=other) for n in range(10)]
    ring = ring_of(stream(10) + back)

    for asked, first in ((0.8, 0.5), (0.9, 0.5), (5.0, 20.0), (19.9, 20.0), (20.4, 20.0)):
        assert ring.after(ring.before(asked)).packets[0].at == first


def test_reading_piece_by_piece_gives_what_a_list_would() -> None:
    rng = random.Random(7)
    for _ in range(50):
        packets = [packet(n, key=n == 0 or rng.random() < 0.2) for n in range(200)]
        ring, got, missed, cursor = PacketRing(RingOptions(seconds=2.5)), list[Packet](), 0, 0
        for each in packets:
            ring.put(each)
            if rng.random() < 0.1:
                piece = ring.after(cursor)
                got += piece.packets
                missed, cursor = missed + piece.missed, piece.last
        piece = ring.after(cursor)
        got, missed = got + list(piece.packets), missed + piece.missed

        assert len(got) + missed == 200
        assert [p.pts for p in got] == sorted({p.pts for p in got})
        assert got[-1] is packets[-1]


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"megabytes": -1}, {"minutes": 1}])
def test_wrong_options_name_themselves(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RingOptions.of(wrong)
