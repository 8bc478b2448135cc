"""What HTTP clients here have in common: URLs that can be shown, reasons in words, Retry-After."""

from __future__ import annotations

import email.utils
import time


def bare(url: str) -> str:
    """A URL without what may be secret in it: user, query, fragment."""
    head, separator, rest = url.partition("://")
    rest = rest.split("?")[0].split("#")[0]
    host, slash, path = rest.partition("/")
    return f"{head}{separator}{host.rpartition('@')[2]}{slash}{path}"


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3); ``date``: what the server calls now."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:12])
    then, now = moment(value), moment(date)
    return None if then is None else max(0.0, then - (time.time() if now is None else now))


def moment(date: str | None) -> float | None:
    """A date of HTTP's in seconds since 1970; ``None`` where it is none."""
    try:
        return None if date is None else email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def reason_of(error: Exception) -> str:
    """What the operating system said; never the request, in which a key may be."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
