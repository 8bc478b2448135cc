"""What several answers about one object come to: the class most of them give, and how surely."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from streamkit.predictions import Classification, Floats, Ints, MultiLabelClassification

Said: TypeAlias = Classification | MultiLabelClassification


@dataclass(frozen=True, slots=True)
class _Vote:
    """One answer: the classes it gives a say to."""

    names: tuple[str, ...]
    class_id: Ints
    scores: Floats
    several: bool
    """Each class for itself, so that several may be true."""


class Opinion:
    """The last ``most`` answers of a classifier about one object, by majority."""

    def __init__(self, most: int, least: float) -> None:
        """``least``: where several classes may be true, the confidence of those that are told."""
        self._votes: deque[_Vote] = deque(maxlen=most)
        self._least = least
        self.sure = 0.0
        """How sure it is, 0..1: of several classes, of the one that is least clear."""
        self.told: dict[str, Any] = {}
        """With the neighbour's keys: ``class``, ``class_id``, ``confidence`` of the class most
        answers gave, or ``predicted_classes`` and their ``predictions``; empty if there is none."""

    def hear(self, said: Said) -> None:
        """One more answer; one that names no class counts against all of them."""
        self._votes.append(_vote(said))
        means, ids = self._means()
        several = self._votes[-1].several
        self.sure = _clear(means) if several else max(means.values(), default=0.0)
        self.told = self._several(means, ids) if several else _one(means, ids)

    def _means(self) -> tuple[dict[str, float], dict[str, int]]:
        """Of each class the mean over all answers, 0 where one does not give it; and its number.
        Answers of another kind, from before the model was swapped, do not count."""
        votes = [vote for vote in self._votes if vote.several == self._votes[-1].several]
        means: dict[str, float] = {}
        ids: dict[str, int] = {}
        for vote in votes:
            for number, score in zip(vote.class_id.tolist(), vote.scores.tolist(), strict=True):
                name = vote.names[number]
                means[name] = means.get(name, 0.0) + score / len(votes)
                ids[name] = number
        return means, ids

    def _several(self, means: dict[str, float], ids: dict[str, int]) -> dict[str, Any]:
        true = {name: mean for name, mean in means.items() if mean >= self._least}
        rows = {n: {"confidence": mean, "class_id": ids[n]} for n, mean in true.items()}
        return {"predicted_classes": list(rows), "predictions": rows} if rows else {}


def _vote(said: Said) -> _Vote:
    if isinstance(said, Classification):
        return _Vote(said.names, said.class_id[:1], said.confidence[:1], False)
    ids = np.arange(len(said.scores))
    return _Vote(said.names, ids, said.scores, True)


def _clear(means: dict[str, float]) -> float:
    return min((max(mean, 1 - mean) for mean in means.values()), default=0.0)


def _one(means: dict[str, float], ids: dict[str, int]) -> dict[str, Any]:
    if not means:
        return {}
    best = max(means, key=means.__getitem__)
    return {"class": best, "class_id": ids[best], "confidence": means[best]}
