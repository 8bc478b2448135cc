"""When a lost source is tried again: by what failed, and with a guard against flapping."""

from __future__ import annotations

from collections import deque

from streamkit.clock import Backoff
from streamkit.errors import StreamErrorCode
from streamkit.streams.options import StreamOptions

_WRONG = frozenset(
    {
        StreamErrorCode.NOT_FOUND,
        StreamErrorCode.TLS_CERTIFICATE,
        StreamErrorCode.CODEC_UNSUPPORTED,
        StreamErrorCode.NO_VIDEO,
    }
)
"""What passes rarely by itself: somebody has to change something."""

LOSSES, WINDOW = 5, 60.0
"""So many losses within so many seconds are a loop."""


class Retry:
    """The waits of one stream, in seconds.

    A plain loss is tried again soon; an address or certificate that is wrong less often; a
    password that was not accepted least, for cameras lock out who tries often. What came back has
    to stay for a while before the next loss counts as the first again. A stream that is lost
    again and again at once waits its longest, until it has stayed.
    """

    def __init__(self, options: StreamOptions) -> None:
        self.looping = False
        """Lost too often, and not yet stable again."""
        self._stable_after = options.stable_after
        self._plain = Backoff(options.restart_delay, options.restart_delay_max)
        self._wrong = Backoff(options.wrong_delay, options.wrong_delay_max)
        self._auth = Backoff(options.auth_delay, options.auth_delay_max)
        self._losses: deque[float] = deque(maxlen=LOSSES)
        self._up_since: float | None = None
        self._last = 0.0

    def worked(self, now: float) -> None:
        """Good pictures come, since ``now`` (monotonic seconds)."""
        if self._up_since is None:
            self._up_since = now

    def stable(self, now: float) -> bool:
        """Whether it has been up for so long that the next loss is the first again."""
        enough = max(self._stable_after, 2.0 * self._last)
        return self._up_since is not None and now - self._up_since >= enough

    def failed(self, code: StreamErrorCode, now: float) -> float:
        """The source was lost, or could not be opened: how long to wait from ``now``."""
        if self.stable(now):
            self.settle()
        if self._up_since is not None:
            self._up_since = None
            self._losses.append(now)
            full = len(self._losses) == LOSSES
            self.looping |= full and now - self._losses[0] <= WINDOW
        backoff = self._backoff(code)
        self._last = backoff.most() if self.looping else backoff.next()
        return self._last

    def settle(self) -> None:
        """It is stable: begin anew."""
        self.looping, self._last = False, 0.0
        self._losses.clear()
        for backoff in (self._plain, self._wrong, self._auth):
            backoff.reset()

    def _backoff(self, code: StreamErrorCode) -> Backoff:
        if code is StreamErrorCode.AUTH_FAILED:
            return self._auth
        return self._wrong if code in _WRONG else self._plain
