"""A process that raises events is killed again and again, while the receiver is in every mood.

Shortened here. In full: ``STREAMKIT_KILLS=200 pytest tests/outbox/test_kill.py``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamkit.outbox import new_secret
from streamkit.outbox.archive import status
from streamkit.outbox.store import Store
from tests.fakes import until
from tests.outbox.raiser import STREAMS, entries
from tests.outbox.receiver import Receiver, moody, receiver
from tests.processes import process

KILLS = int(os.environ.get("STREAMKIT_KILLS", "15"))

pytestmark = pytest.mark.timeout(60 + 5 * KILLS)


class Raiser:
    """Starts processes that raise events, and kills them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _say(self, what: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return int(self._heard())

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def start(self, what: str) -> int:
        return self._say(what)

    def kill(self, child: int) -> None:
        os.kill(child, signal.SIGKILL)
        assert self._heard() == "gone"


@contextmanager
def raiser(folder: Path, url: str, secret: str) -> Iterator[Raiser]:
    command = [sys.executable, "-m", "tests.outbox.raiser", str(folder), url, secret]
    with process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        yield Raiser(started)


def test_every_event_arrives_in_order_and_none_is_invented(tmp_path: Path) -> None:
    chance, secret = random.Random(7), new_secret()
    with receiver([secret]) as there, raiser(tmp_path, there.url, secret) as raising:
        there.choose = moody(7)
        for number in range(KILLS):
            child = raising.start("raise")
            grown = len(entries(tmp_path / "raised")) + 1
            until(lambda grown=grown: len(entries(tmp_path / "raised")) >= grown)  # type: ignore[misc]
            there.closing.wait(chance.uniform(0.0, 0.3))
            raising.kill(child)
            if number % 5 == 3:
                there.down()
            elif number % 5 == 0:
                there.up()
        _let_it_send(tmp_path, raising, there)
    _check(tmp_path, there)


def _let_it_send(folder: Path, raising: Raiser, there: Receiver) -> None:
    """What is left is sent by a process that raises nothing; the receiver is well by now."""
    there.choose = lambda: None
    there.up()
    child = raising.start("send")
    with closing(Store(folder / "box.sqlite")) as store:
        until(lambda: store.waiting("there")[0] == 0, 20 + KILLS)
        (row,) = status(store)
    raising.kill(child)
    assert (row["dead"], row["dropped"], row["refused"]) == (0, 0, 0)


def _check(folder: Path, there: Receiver) -> None:
    about, raised = entries(folder / "about"), entries(folder / "raised")
    taken: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for each in there.taken:
        if each.id not in seen:
            seen.add(each.id)
            taken[each.json["source"]].append(each.json["data"]["n"])
    assert {key for *_, key in raised} <= seen, "lost"
    assert {each.id for each in there.came} <= {key for *_, key in about}, "invented"
    for stream in STREAMS:
        assert taken[stream] == sorted(taken[stream]), "out of order"
    assert len(raised) >= KILLS
    twice = len(there.taken) - len(seen)
    sys.stdout.write(
        f"{KILLS} kills: {len(raised)} events, {len(there.came)} requests, {twice} taken twice\n"
    )
