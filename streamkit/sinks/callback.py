"""Hands results to a function of the user's."""

from __future__ import annotations

from collections.abc import Callable

from streamkit import plugins
from streamkit.predictions import Result
from streamkit.sinks.base import Sink


class CallbackSink(Sink):
    """Calls ``function(result)`` for every result; what it raises is told and counted above."""

    def __init__(self, function: Callable[[Result], object] | str) -> None:
        """``function``: something to call, or (in documents) ``"my_module:my_function"``.

        Raises ``ConfigError`` where that cannot be imported.
        """
        self._function = plugins.load({}, function) if isinstance(function, str) else function

    def write(self, result: Result) -> None:
        self._function(result)

    def close(self) -> None:
        """Nothing to let go."""
