"""The moving cast of the sample street: which class of object is drawn by what."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from street.look import Draw
from street.vehicles import Bus, Car, Truck
from street.walkers import Bicycle, Dog, Person

MAKERS = MappingProxyType[str, Callable[[np.random.Generator], Draw]](
    {
        "bicycle": Bicycle,
        "bus": Bus,
        "car": Car,
        "dog": Dog,
        "person": Person,
        "truck": Truck,
    }
)
