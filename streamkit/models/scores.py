"""From logits to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamkit.predictions import Floats


def sigmoid(logits: npt.NDArray[Any]) -> Floats:
    """1 / (1 + exp(-x)) as ``float32``, without overflow, infinities included."""
    half = np.tanh(logits.astype(np.float32) * np.float32(0.5))
    return np.asarray(half * np.float32(0.5) + np.float32(0.5), np.float32)


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Of one row, as ``float32``."""
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # two infinities: nobody knows
        powers = np.exp(wide - wide.max())
        return np.asarray(powers / powers.sum(), np.float32)
