"""The ``streamkit`` command, also as ``python -m streamkit``: Ctrl-C is heard while it loads."""

import os
import signal


def main() -> None:
    """Load the command line and run it.

    Loading takes a second in which nothing has begun that would have to be undone, and in which
    libraries swallow ``KeyboardInterrupt``, or show where it hit them: Ctrl-C ends it at once.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else somebody wants it ignored
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from streamkit import cli

    signal.signal(signal.SIGINT, before)
    cli.main()


if __name__ == "__main__":
    main()
