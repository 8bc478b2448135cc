"""A family that needs an optional package, for ``test_registry``."""

from __future__ import annotations

import yaml

from streamkit.models.families.yolo import YoloDetector


class Model(YoloDetector):
    """Nothing more than its parent."""

    version = yaml.__version__
