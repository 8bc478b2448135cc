"""The picture of a clock camera: the moment of its capture as blocks, as digits, and a moving bar.

From the top left, in reading order, blocks of 16 x 16 pixels (one macroblock: survives hard
compression), white for 1 and black for 0, most significant bit first: 64 bits of microseconds
since the epoch (UTC), 32 bits of frame number, 32 bits of CRC-32 over the 12 bytes before.
"""

from __future__ import annotations

import struct
import time
import zlib

BLOCK = 16
BITS = 128
BLACK, WHITE = 16, 235
_GREY = 96
_DOT = 8
# Rows of three dots, top to bottom, as octal digits.
_GLYPHS = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 7, 1, 7),
    "4": (5, 5, 7, 1, 1), "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 1, 1, 1),
    "8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7), ":": (0, 2, 0, 2, 0), ".": (0, 0, 0, 0, 2),
}  # fmt: skip


def rows_of_blocks(width: int) -> int:
    """How many rows of blocks the code takes in a picture this wide."""
    return -(-BITS // (width // BLOCK))


def coded(number: int, microseconds: int) -> bytes:
    """The 16 bytes that are burned in."""
    head = struct.pack(">QI", microseconds, number & 0xFFFFFFFF)
    return head + struct.pack(">I", zlib.crc32(head))


def draw(number: int, microseconds: int, size: tuple[int, int]) -> bytes:
    """One I420 picture, its rows without padding: both sides must be multiples of 8 or more."""
    width, height = size
    top = _blocks(coded(number, microseconds), width)
    text = _digits(microseconds, width)
    left = height - (len(top) + len(text)) // width
    picture = top + text + _bar(number, width) * max(0, left)
    return picture[: width * height] + b"\x80" * (width * height // 2)


def _blocks(code: bytes, width: int) -> bytes:
    """The luma rows with the code in them."""
    bits = f"{int.from_bytes(code, 'big'):0{BITS}b}"
    columns, rows = width // BLOCK, []
    for start in range(0, BITS, columns):
        row = b"".join(
            bytes([WHITE if bit == "1" else BLACK]) * BLOCK for bit in bits[start : start + columns]
        )
        rows.append(row.ljust(width, bytes([_GREY])) * BLOCK)
    return b"".join(rows)


def _digits(microseconds: int, width: int) -> bytes:
    """UTC to the millisecond, for people."""
    second, fraction = divmod(microseconds, 1_000_000)
    text = time.strftime("%H:%M:%S", time.gmtime(second)) + f".{fraction // 1000:03d}"
    dark, light = bytes([_GREY]), bytes([WHITE])
    rows = [dark * width * _DOT]
    for line in range(5):
        dots = " ".join(f"{_GLYPHS[letter][line]:03b}" for letter in text)
        row = b"".join((light if dot == "1" else dark) * _DOT for dot in dots)
        rows.append(row[:width].ljust(width, dark) * _DOT)
    rows.append(dark * width * _DOT)
    return b"".join(rows)


def _bar(number: int, width: int) -> bytes:
    """One row with a bar that moves to the right."""
    at = number * 4 % width
    row = bytearray([_GREY]) * width
    row[at : at + 24] = bytes([200]) * len(row[at : at + 24])
    return bytes(row)
