"""When two ways to run a model say the same."""

from __future__ import annotations

from typing import Any

import pytest

from streamkit.tune.agreement import agreement

CAR = [10.0, 10.0, 50.0, 40.0]
BUS = [100.0, 10.0, 190.0, 80.0]


def told(*objects: tuple[list[float], int, float]) -> list[dict[str, Any]]:
    boxes, classes, scores = zip(*objects, strict=True) if objects else ((), (), ())
    return [{"boxes": list(boxes), "classes": list(classes), "scores": list(scores)}]


def moved(box: list[float], by: float) -> list[float]:
    return [edge + by for edge in box]


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (told((CAR, 2, 0.9), (BUS, 5, 0.8)), 1.0),
        (told((BUS, 5, 0.7), (moved(CAR, 1), 2, 0.95)), 1.0),  # the order does not matter
        (told((CAR, 2, 0.35), (BUS, 5, 0.8)), 1.0),  # 0.35 is still nearly 0.4
        (told((CAR, 2, 0.25), (BUS, 5, 0.8)), 0.5),
        (told((CAR, 3, 0.9), (BUS, 5, 0.8)), 0.5),  # another class
        (told((moved(CAR, 12), 2, 0.9), (BUS, 5, 0.8)), 0.5),  # another place
        (told((CAR, 2, 0.9)), 0.5),
        (told(), 0.0),
    ],
)
def test_the_share_of_objects_that_are_the_same(other: list[dict[str, Any]], share: float) -> None:
    exact = told((CAR, 2, 0.9), (BUS, 5, 0.8))
    assert agreement(exact, other, 0.4) == share


def test_what_only_the_other_finds_counts_too() -> None:
    exact, other = told((CAR, 2, 0.9)), told((CAR, 2, 0.9), (BUS, 5, 0.8))
    assert agreement(exact, other, 0.4) == 0.5
    assert agreement(told(), told(), 0.4) == 1.0


def test_one_box_stands_for_one_object_only() -> None:
    exact = told((CAR, 2, 0.9), (moved(CAR, 1), 2, 0.8))
    assert agreement(exact, told((CAR, 2, 0.9)), 0.4) == 0.5
