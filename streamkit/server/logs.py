"""What the server writes about itself as JSON, one object a line, for those who collect it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


class JsonLines(logging.Formatter):
    """``at`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, and ``error`` where there is one:
    the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return orjson.dumps({name: _text(value) for name, value in told.items()}).decode()


def _text(value: str) -> str:
    """Without what UTF-8 has no form for."""
    return value.encode(errors="replace").decode()


def write_json() -> None:
    """From now on, whatever is logged; the server's own and its libraries'."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
