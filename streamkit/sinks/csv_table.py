"""Writes events as rows of a CSV file: fixed columns, and no cell that is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from streamkit.events import Event
from streamkit.sinks.event_lines import EventFile
from streamkit.sinks.record import encode

COLUMNS: Final = (
    "id", "phase", "kind", "at", "stream", "source", "key", "tracker_id", "frame_id", "model",
    "snapshot", "crop", "clip", "data",
)  # fmt: skip
"""Of the wire form, what fits into a cell; paths of evidence by its kind; ``data`` as JSON."""
_FORMULA: Final = tuple("=+-@＝＋－＠")
"""What makes a spreadsheet take a text for a formula (OWASP, CSV injection)."""


class CsvSink(EventFile):
    """One row per event under one header (RFC 4180 but for its line ends: ``\\n``), in UTF-8.

    A row is a line: line breaks in texts become spaces. Texts that begin like a formula get a
    ``'`` in front. What was written survives a crash, and with ``sync`` a power cut.
    """

    header = (",".join(COLUMNS) + "\n").encode()

    def line(self, event: Event) -> bytes:
        return _row(_cells(event))

    @staticmethod
    def is_whole(line: bytes) -> bool:
        """By its last cell, which is JSON."""
        try:
            cells = next(csv.reader([line.decode()], strict=True))
            return len(cells) == len(COLUMNS) and isinstance(orjson.loads(cells[-1]), dict)
        except (UnicodeDecodeError, csv.Error, StopIteration, orjson.JSONDecodeError):
            return False


def _cells(event: Event) -> list[object]:
    wire = event.dict()
    paths = {kind: _paths(wire["evidence"], kind) for kind in ("snapshot", "crop", "clip")}
    cells = {**wire, **paths, "data": encode(wire["data"]).decode()}
    return [cells[name] for name in COLUMNS]


def _paths(evidence: Sequence[Mapping[str, Any]], kind: str) -> str:
    return "; ".join(each["path"] for each in evidence if each["kind"] == kind and each["path"])


def _row(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: object) -> object:
    """Numbers as they are, negative ones too; texts on one line and harmless."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.replace("\0", " ").splitlines())
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
