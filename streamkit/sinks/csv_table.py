"""Writes events as rows of a CSV file: fixed columns, and no cell that is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson

from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.chosen import Chosen
from streamkit.sinks.lines import LineFile, Period, Rotation
from streamkit.sinks.record import encode

COLUMNS: Final = (
    "id", "phase", "kind", "at", "stream", "source", "key", "tracker_id", "frame_id", "model",
    "snapshot", "crop", "clip", "data",
)  # fmt: skip
"""Of the wire form, what fits into a cell; paths of evidence by its kind; ``data`` as JSON."""
_FORMULA: Final = tuple("=+-@＝＋－＠")
"""What makes a spreadsheet take a text for a formula (OWASP, CSV injection)."""


class CsvSink(Sink):
    """One row per event under one header (RFC 4180 but for its line ends: ``\\n``), in UTF-8.

    A row is a line: line breaks in texts become spaces. Texts that begin like a formula get a
    ``'`` in front. What was written survives a crash, and with ``sync`` a power cut.
    """

    takes_events: ClassVar = True

    def __init__(
        self,
        path: str | Path,
        *,
        kinds: Sequence[str] = (),
        rotate: Period = "never",
        rotate_bytes: int | None = None,
        keep_files: int | None = None,
        sync: bool = True,
    ) -> None:
        """``kinds``: the events meant (``zone.*``); none: all. ``rotate`` (by hour or day, UTC) and
        ``rotate_bytes`` put the file aside as ``name.<when it was written last>.ending``; of those,
        the newest ``keep_files`` are kept.

        Raises ``ConfigError``; ``SinkError`` where ``path`` cannot be written or has other columns.
        """
        self._chosen = Chosen(kinds)
        rotation = Rotation(rotate, rotate_bytes, keep_files)
        header = _row(COLUMNS)
        self._lines = LineFile(path, _is_row, header=header, rotation=rotation, sync=sync)
        self.path = self._lines.path

    def write(self, result: Result) -> None:
        """Append the events of ``result``. Raises ``SinkError``."""
        if events := list(filter(self._chosen.of_kind, result.events)):
            self._lines.put(b"".join(_row(_cells(event)) for event in events))

    def close(self) -> None:
        self._lines.close()


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


def _is_row(line: bytes) -> bool:
    """Whether a line without an end is all there: the last cell is JSON, which tells."""
    try:
        cells = next(csv.reader([line.decode()], strict=True))
        return len(cells) == len(COLUMNS) and isinstance(orjson.loads(cells[-1]), dict)
    except (UnicodeDecodeError, csv.Error, StopIteration, orjson.JSONDecodeError):
        return False
