# SPDX-License-Identifier: MIT
"""Columns in numpy's memory as parts of a stream, and parts of a stream as numpy's memory.

Numbers, booleans, points in time, spans and texts go to the C library as they lie there, and come back as they lie there: no
other library is needed for them, and what no fault has touched is copied once at most.
"""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    import numpy

__all__ = ["Came", "Sent", "columns_of", "of_array", "of_texts", "stream_of"]

_NULLABLE = 2
_FORMATS = {"f2": "e", "f4": "f", "f8": "g", "i1": "c", "i2": "s", "i4": "i", "i8": "l", "u1": "C", "u2": "S", "u4": "I", "u8": "L"}
_NUMBERS = {letter: name for name, letter in _FORMATS.items()}
_UNITS = ("s", "ms", "us", "ns")
NOT_A_TIME = -(2**63)


@dataclass
class Sent:
    """A column on its way to the C library: its parts as _core.table() takes them, and who owns the memory."""

    format: str
    length: int
    nulls: int
    addresses: tuple[int, ...]
    owners: list[Any] = field(default_factory=list)

    def named(self, name: str) -> tuple[Any, ...]:
        return name, self.format, self.length, self.nulls, self.addresses, _NULLABLE, None


def stream_of(rows: int, columns: list[tuple[Any, ...]], owners: list[Any]) -> Any:
    """A stream of one batch."""
    return _core.table(rows, tuple(columns), owners)


def of_array(array: numpy.ndarray[Any, Any], missing: numpy.ndarray[Any, Any] | None = None, zone: str = "") -> Sent | None:
    """Numbers, booleans, datetime64 and timedelta64; None: it is of another kind. `missing` says which of them are not there, `zone`
    is that of points in time."""
    numpy = sys.modules["numpy"]
    form = _format_of(array.dtype, zone)
    if form is None:
        return None
    if array.dtype.kind in "mM":
        array = array.view("i8")
        missing = array == NOT_A_TIME if missing is None else missing
        missing = missing if missing.any() else None
    if not array.flags.c_contiguous or not array.dtype.isnative:
        array = numpy.ascontiguousarray(array, array.dtype.newbyteorder("="))
    values = numpy.packbits(array, bitorder="little") if array.dtype.kind == "b" else array
    valid = None if missing is None else numpy.packbits(~missing, bitorder="little")
    nulls = 0 if missing is None else int(numpy.count_nonzero(missing))
    addresses = (0 if valid is None else _address(valid), _address(values))
    return Sent(form, len(array), nulls, addresses, [values, valid])


def of_texts(items: list[Any], missing: tuple[Any, ...] = ()) -> Sent | None:
    """A list of str, and of what is missing: None, NaN, and what is in `missing`. None: it holds something else."""
    packed = _core.pack_texts(items, missing)
    if packed is None:
        return None
    offsets, data, validity, nulls = packed
    numpy = sys.modules["numpy"]
    owners = [numpy.frombuffer(part, "u1") for part in (validity, offsets, data)]
    addresses = [_address(owner) for owner in owners]
    return Sent("U", len(items), nulls, (addresses[0] if nulls else 0, addresses[1], addresses[2]), owners)


def _address(array: numpy.ndarray[Any, Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _format_of(dtype: numpy.dtype[Any], zone: str) -> str | None:
    if dtype.kind == "b":
        return "b"
    if dtype.kind in "mM":
        unit = sys.modules["numpy"].datetime_data(dtype)
        if unit[0] not in _UNITS or unit[1] != 1:
            return None
        letter = {"s": "s", "ms": "m", "us": "u", "ns": "n"}[unit[0]]
        return f"tD{letter}" if dtype.kind == "m" else f"ts{letter}:{zone}"
    return _FORMATS.get(dtype.str[1:])


# ---- back


class _Memory:
    """Memory of the C library for numpy to look at; `owner` keeps it there."""

    def __init__(self, address: int, length: int, kind: str, owner: Any) -> None:
        self.__array_interface__ = {"data": (address, False), "shape": (length,), "typestr": kind, "version": 3}
        self._owner = owner


@dataclass
class Came:
    """A column that came from the C library."""

    name: str
    format: str
    dictionary: str | None
    _pulled: Any
    _at: int
    _own: Any = None

    def stream(self) -> Any:
        """The column as a stream of its own; it is gone from here then."""
        return _core.push(self._pulled, self._at)

    @property
    def numpy_kind(self) -> str | None:
        """As in dtype.str, without the byte order; None: it is not one of numbers or times."""
        if self.dictionary is not None:
            return None
        if self.format == "b":
            return "b1"
        if self.format[:2] in ("ts", "tD") and len(self.format) > 2:
            unit = {"s": "s", "m": "ms", "u": "us", "n": "ns"}[self.format[2]]
            return f"{'M' if self.format[1] == 's' else 'm'}8[{unit}]"
        return _NUMBERS.get(self.format)

    def numbers(self, foreign: Container[int] = ()) -> tuple[Any, Any]:
        """Values and which of them are missing (None: none is). The caller may change both: what lies at one of the `foreign`
        addresses is copied."""
        numpy = sys.modules["numpy"]
        kind = self.numpy_kind
        assert kind is not None
        chunks = self._chunks()
        masks = [self._missing(chunk) for chunk in chunks]
        missing = None
        if any(mask is not None for mask in masks):
            missing = _joined([numpy.zeros(chunk[0], bool) if mask is None else mask for chunk, mask in zip(chunks, masks)], bool)
        parts = [self._bits(chunk, 1) if kind == "b1" else self._values(chunk, kind) for chunk in chunks]
        values = _joined(parts, kind)
        if len(parts) == 1 and kind != "b1" and chunks[0][3][1] in foreign:
            values = values.copy()
        if missing is not None and not missing.any():
            missing = None
        return values, missing

    def texts(self, missing: Any = None) -> list[Any]:
        """A list of str, with `missing` in the place of nulls. Formats "u" and "U"."""
        texts: list[Any] = []
        for length, offset, _, addresses, _ in self._chunks():
            texts += _core.unpack_texts(self.format == "U", length, offset, addresses, missing)
        return texts

    def _chunks(self) -> list[Any]:
        if self._own is None:  # not all of the columns are to stay because one does
            self._own = _core.pull(self.stream())
        return _core.chunks(self._own, -1)

    def _values(self, chunk: Any, kind: str) -> Any:
        numpy = sys.modules["numpy"]
        length, offset, _, addresses, _ = chunk
        width = numpy.dtype(kind).itemsize
        if length == 0:
            return numpy.empty(0, kind)
        plain = f"<i{width}" if kind[0] in "mM" else f"<{kind}" if width > 1 else f"|{kind}"
        return numpy.asarray(_Memory(addresses[1] + offset * width, length, plain, self._own)).view(kind)

    def _bits(self, chunk: Any, buffer: int) -> Any:
        numpy = sys.modules["numpy"]
        length, offset, _, addresses, _ = chunk
        if length == 0:
            return numpy.empty(0, bool)
        first = offset // 8
        packed = numpy.asarray(_Memory(addresses[buffer] + first, (offset + length + 7) // 8 - first, "|u1", self._own))
        return numpy.unpackbits(packed, bitorder="little")[offset - 8 * first:][:length].view(bool)

    def _missing(self, chunk: Any) -> Any:
        """None: none is."""
        return ~self._bits(chunk, 0) if chunk[3][0] and chunk[2] != 0 else None


def columns_of(stream: Any) -> tuple[int, list[Came]]:
    """Pulls a stream to its end: how many rows, and its columns. What goes wrong on the way is raised as the library says it."""
    pulled = _core.pull(stream)
    fields = _core.fields(pulled)
    came = [Came(name, form, dictionary, pulled, at) for at, (name, form, _, dictionary) in enumerate(fields)]
    rows = sum(chunk[0] for chunk in _core.chunks(pulled, 0)) if fields else 0
    return rows, came


def _joined(parts: list[Any], kind: Any) -> Any:
    numpy = sys.modules["numpy"]
    if len(parts) == 1:
        return parts[0]
    return numpy.concatenate(parts) if parts else numpy.empty(0, kind)
