# SPDX-License-Identifier: MIT
"""Tables of Python's libraries as streams for the C library, and back as what they were.

polars, pyarrow and whatever else has the Arrow PyCapsule interface hand over streams themselves. Columns of pandas and numpy are
handed over as they lie in memory; those that pandas keeps in other ways, as categories, lists or dates for instance, through
pyarrow. Nothing else is imported that the caller has not imported already.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .columns import NOT_A_TIME, Came, Sent, columns_of, of_array, of_texts, stream_of
from .errors import BadInput, NotPossible

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["Frame", "frame_of"]

_ROW = "__chaoseater_row__"


class Frame:
    """A table that came from Python.

    `stream()` gives a new stream over it each time, `back(stream)` makes of a stream what the table was. `memory` is what else it
    takes to put the table back later, and can be pickled.
    """

    def __init__(self, stream: Callable[[], Any], back: Callable[[Any], Any]) -> None:
        self.stream = stream
        self.back = back
        self.memory: Any = None


def frame_of(table: Any, *, moving: bool = False, memory: Any = None) -> Frame:
    """`moving`: rows will be added, removed or repeated, and take their labels along. `memory` is that of the frame which this table
    was made of, and shall be again. Raises TypeError for what is no table, and BadInput for one that cannot be handed over."""
    if _is("pandas", "DataFrame", table):
        return _PandasFrame(table, moving, memory)
    if _is("polars", "LazyFrame", table):
        raise TypeError("a LazyFrame has no rows yet: collect() it")
    if _is("polars", "DataFrame", table):
        polars = sys.modules["polars"]
        return Frame(table.__arrow_c_stream__, lambda stream: polars.DataFrame(_Stream(stream)))
    if _is("pyarrow", "Table", table):
        return Frame(lambda: _reader(table).__arrow_c_stream__(), lambda stream: _imported(stream).read_all())
    if _is("pyarrow", "RecordBatch", table):
        return Frame(table.__arrow_c_stream__, lambda stream: _one_batch(_imported(stream).read_all()))
    if _is("numpy", "ndarray", table):
        return _NumpyFrame(table, memory)
    if hasattr(table, "__arrow_c_stream__"):
        return Frame(table.__arrow_c_stream__, _Stream)
    raise TypeError(f"a {type(table).__name__} is no table: expected a DataFrame of pandas or polars, a Table of pyarrow, an array of "
                    "numpy, or what has __arrow_c_stream__")


class _Stream:
    """A stream that others can pull, once."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._capsule


def _is(module: str, name: str, table: Any) -> bool:
    loaded = sys.modules.get(module)
    kind = getattr(loaded, name, None)
    return kind is not None and isinstance(table, kind)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise NotPossible("columns of this kind are handed over by pyarrow, which is not installed") from None
    return pyarrow


def _imported(capsule: Any) -> Any:
    try:
        return _Reader(_pyarrow().RecordBatchReader.from_stream(_Stream(capsule)))
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from None


class _Reader:
    """A reader whose errors are ours."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read_all(self) -> Any:
        try:
            return self._reader.read_all()
        except (OSError, ValueError) as error:
            raise BadInput(str(error)) from None


def _reader(table: pyarrow.Table) -> Any:
    return table.to_reader()


def _one_batch(table: pyarrow.Table) -> Any:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else _pyarrow().RecordBatch.from_pylist([], schema=table.schema)


# ---- numpy


class _NumpyFrame(Frame):
    """Columns of a two-dimensional array are called column1, column2, ..., as in a file without a header."""

    def __init__(self, array: Any, memory: list[Any] | None) -> None:
        if array.dtype.names:
            columns, names = [array[name] for name in array.dtype.names], list(array.dtype.names)
        elif array.ndim in (1, 2):
            columns = [array] if array.ndim == 1 else [array[:, i] for i in range(array.shape[1])]
            names = [f"column{i + 1}" for i in range(len(columns))]
        else:
            raise BadInput(f"an array of {array.ndim} dimensions is no table")
        if memory and len(memory) == len(columns):
            columns = [_as_before(column, dtype) for column, dtype in zip(columns, memory)]
        sent = [_sent_array(column, name) for column, name in zip(columns, names)]
        rows = len(array) if array.ndim else 0
        super().__init__(lambda: stream_of(rows, *_handed_over(names, sent)), self._back)
        self._array = array
        self._foreign = _addresses(sent)
        self.memory = memory or [getattr(column, "dtype", None) for column in columns]

    def _back(self, stream: Any) -> Any:
        numpy, array = sys.modules["numpy"], self._array
        rows, came = columns_of(stream)
        made = [_numpy_column(column, self._foreign) for column in came]
        if array.dtype.names:
            out = numpy.empty(rows, [(column.name, values.dtype) for column, values in zip(came, made)])
            for column, values in zip(came, made):
                out[column.name] = values
            return out
        if not made:
            return array.copy()
        if array.ndim == 1 and len(made) == 1:
            return made[0]
        kinds = {values.dtype for values in made}
        common = kinds.pop() if len(kinds) == 1 else numpy.dtype(object) if object in kinds else numpy.result_type(*kinds)
        out = numpy.empty((rows, len(made)), common)
        for i, values in enumerate(made):
            out[:, i] = values
        return out


def _sent_array(column: Any, name: str) -> Any:
    sent = of_array(column)
    if sent is None and column.dtype.kind in "OU":
        sent = of_texts(column.tolist())
    return _arrow_array(_pyarrow(), column, name) if sent is None else sent


def _as_before(column: Any, dtype: Any) -> Any:
    """Whole numbers that became floats because some went missing, as whole numbers again: those that are missing become others, and
    the answer key has what they were."""
    numpy = sys.modules["numpy"]
    if dtype is None or dtype.kind not in "iub" or column.dtype.kind != "f":
        return column
    return numpy.where(numpy.isnan(column), 0, column).astype(dtype)


def _numpy_column(column: Came, foreign: frozenset[int]) -> Any:
    """Whole numbers with nulls become floats with NaN, texts objects: an array has no other way to say it."""
    numpy = sys.modules["numpy"]
    if column.numpy_kind is None:
        if column.format in ("u", "U") and column.dictionary is None:
            return numpy.array([*column.texts(), None], object)[:-1]
        return _pyarrow().chunked_array(_Stream(column.stream())).to_numpy(zero_copy_only=False)
    values, missing = column.numbers(foreign)
    if missing is None:
        return values
    if values.dtype.kind in "mM":
        values.view("i8")[missing] = NOT_A_TIME
        return values
    if values.dtype.kind in "iu" and numpy.abs(values[~missing].astype("f8")).max(initial=0) > 2**53:
        raise BadInput(f"{column.name}: an array of {values.dtype} cannot say which of its numbers are missing, and as floats they would "
                       "not be the same: use a DataFrame")
    if values.dtype.kind == "f" and values.dtype.itemsize >= 4:
        return values  # NaN stands below its nulls already
    values = values if values.dtype.kind == "f" else values.astype("f8")
    values[missing] = numpy.nan
    return values


# ---- pandas and numpy


def _handed_over(names: list[str], sent: list[Any]) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """Columns as stream_of() takes them, and who owns their memory."""
    columns = [column.named(name) if isinstance(column, Sent) else (name, *column.__arrow_c_array__())
               for name, column in zip(names, sent)]
    return columns, [column.owners for column in sent if isinstance(column, Sent)]


def _addresses(sent: list[Any]) -> frozenset[int]:
    return frozenset(address for column in sent if isinstance(column, Sent) for address in column.addresses if address)


# ---- pandas


def _arrow_array(pyarrow: Any, values: Any, name: object) -> Any:
    try:
        array = pyarrow.array(values, from_pandas=True)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"column '{name}' holds objects that are of no common type: {' '.join(str(error).split())}") from None
    return array.combine_chunks() if isinstance(array, pyarrow.ChunkedArray) and array.num_chunks != 1 else array


@dataclass
class _PandasMemory:
    """What a stream does not tell of a frame."""

    like: pandas.DataFrame
    """Its columns, without rows."""
    index: pandas.Index
    rows: Any = None
    """Where each row of what was made of it came from; None: no row has moved."""


class _PandasFrame(Frame):
    def __init__(self, frame: pandas.DataFrame, moving: bool, memory: _PandasMemory | None) -> None:
        numpy = sys.modules["numpy"]
        sent = [_sent_series(frame.iloc[:, i], label) for i, label in enumerate(frame.columns)]
        names = [str(label) for label in frame.columns]
        rows = memory.rows if memory else numpy.arange(len(frame)) if moving else None
        if rows is not None:
            if _ROW in names:
                raise BadInput(f"a column is called {_ROW}, which is ours")
            if len(rows) != len(frame):
                raise BadInput(f"this frame has {len(frame)} rows, and not the {len(rows)} that the answer key was made for")
            sent, names = [*sent, of_array(rows)], [*names, _ROW]
        self._foreign = _addresses(sent)
        self._moving = rows is not None
        self._attrs = frame.attrs
        count = len(frame)
        super().__init__(lambda: stream_of(count, *_handed_over(names, sent)), self._back)
        self.memory = memory or _PandasMemory(frame.iloc[:0], frame.index)

    def _back(self, stream: Any) -> pandas.DataFrame:
        pandas = sys.modules["pandas"]
        rows, came = columns_of(stream)
        index = self.memory.index
        if self._moving:
            self.memory.rows, _ = came[[column.name for column in came].index(_ROW)].numbers(self._foreign)
            index = index.take(self.memory.rows)
            came = [column for column in came if column.name != _ROW]
        labels, dtypes = _labels([column.name for column in came], self.memory.like)
        columns = {i: _series(pandas, column, dtypes[i], self._foreign) for i, column in enumerate(came)}
        if columns and rows != len(index):
            index = pandas.RangeIndex(rows)
        for i, column in columns.items():
            if isinstance(column, pandas.Series):
                columns[i] = column.array  # without labels, by which it would be aligned
        back = pandas.DataFrame(columns, index=index, copy=False)
        back.columns = labels
        back.attrs = dict(self._attrs)
        return back


def _sent_series(series: pandas.Series, label: object) -> Any:
    """As it lies in memory, if it lies there as numpy has it; else by pyarrow."""
    pandas: Any = sys.modules["pandas"]
    dtype: Any = series.dtype
    sent = None
    if not _extension(pandas, dtype):
        sent = of_texts(series.tolist(), (pandas.NA, pandas.NaT)) if dtype.kind == "O" else of_array(series.to_numpy())
    elif isinstance(dtype, pandas.DatetimeTZDtype):
        sent = of_array(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), zone="UTC")
    elif _masked(dtype):
        missing = series.isna().to_numpy()
        plain = series.to_numpy(dtype.numpy_dtype, na_value=0) if missing.any() else series.to_numpy(dtype.numpy_dtype)
        sent = of_array(plain, missing if missing.any() else None)
    elif _python_strings(pandas, dtype):
        sent = of_texts(series.tolist(), (pandas.NA,))
    return _arrow_array(_pyarrow(), series, label) if sent is None else sent


def _masked(dtype: Any) -> bool:
    """Int64, Float64, boolean and the like."""
    return isinstance(dtype, _masked_kinds())


@functools.lru_cache(maxsize=None)
def _masked_kinds() -> tuple[type, ...]:
    pandas = sys.modules["pandas"]
    whole = [f"{sign}Int{size}Dtype" for sign in ("", "U") for size in (8, 16, 32, 64)]
    return tuple(getattr(pandas, name) for name in (*whole, "Float32Dtype", "Float64Dtype", "BooleanDtype"))


def _python_strings(pandas: Any, dtype: Any) -> bool:
    return isinstance(dtype, pandas.StringDtype) and getattr(dtype, "storage", "python") == "python"


def _labels(names: list[str], frame: pandas.DataFrame) -> tuple[Any, list[Any]]:
    """Labels and types of the columns as they were; None is the type of what has come along."""
    if names == [str(label) for label in frame.columns]:
        return frame.columns, list(frame.dtypes)
    known = {str(label): (label, dtype) for label, dtype in zip(frame.columns, frame.dtypes)}
    found = [known.get(name, (name, None)) for name in names]
    return [label for label, _ in found], [dtype for _, dtype in found]


def _series(pandas: Any, came: Came, dtype: Any, foreign: frozenset[int]) -> Any:
    """A column of the type that it had, or of the one nearest to it that can hold what it has become."""
    kind = came.numpy_kind
    by_arrow = dtype is not None and _extension(pandas, dtype) and not (
        _masked(dtype) or _python_strings(pandas, dtype) or isinstance(dtype, pandas.DatetimeTZDtype))
    if not by_arrow and kind is not None and not (dtype is not None and dtype.kind == "O" and not _masked(dtype)):
        return _numbers(pandas, *came.numbers(foreign), dtype)
    if not by_arrow and came.format in ("u", "U") and came.dictionary is None:
        return _texts(pandas, came, dtype)
    return _arrow_series(pandas, _pyarrow().chunked_array(_Stream(came.stream())), dtype)


def _numbers(pandas: Any, values: Any, missing: Any, dtype: Any) -> Any:
    if dtype is not None and _masked(dtype) and dtype.numpy_dtype == values.dtype:
        nowhere = sys.modules["numpy"].zeros(len(values), bool)
        return dtype.construct_array_type()(values, nowhere if missing is None else missing)
    if values.dtype.kind in "mM":
        if missing is not None:
            values.view("i8")[missing] = NOT_A_TIME
        zone = getattr(dtype, "tz", None)
        return pandas.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array if zone is not None else values
    if missing is None:
        return values
    if values.dtype.kind == "f":
        if values.dtype.itemsize < 4:  # below other nulls stands NaN already
            values[missing] = sys.modules["numpy"].nan
        return values
    nullable = pandas.arrays.BooleanArray if values.dtype.kind == "b" else pandas.arrays.IntegerArray
    return nullable(values, missing)


def _texts(pandas: Any, came: Came, dtype: Any) -> Any:
    """Texts as they were kept; those that numbers became, as this pandas keeps texts."""
    if dtype is not None and _python_strings(pandas, dtype):
        return pandas.array(came.texts(), dtype=dtype)
    if dtype is None or dtype.kind != "O":
        return pandas.Series(came.texts()) if came else None
    return pandas.Series(came.texts(), dtype=object)


def _arrow_series(pandas: Any, column: Any, dtype: Any) -> Any:
    """The same of a column of pyarrow."""
    types = _pyarrow().types
    if dtype is None:
        return column.to_pandas()
    if dtype.kind in "iu" and types.is_integer(column.type):
        if column.null_count == 0:
            return column.to_pandas().astype(dtype, copy=False)
        nullable = pandas.array([], dtype=str(dtype).replace("int", "Int").replace("uI", "UI")).dtype if not _extension(pandas, dtype) else dtype
        return column.to_pandas(types_mapper=lambda kind: nullable).astype(nullable, copy=False)
    if dtype.kind == "b" and not _extension(pandas, dtype) and types.is_boolean(column.type) and column.null_count > 0:
        return column.to_pandas(types_mapper=lambda kind: pandas.BooleanDtype())
    if _extension(pandas, dtype) and hasattr(dtype, "__from_arrow__"):
        try:
            return pandas.Series(dtype.__from_arrow__(column), copy=False)
        except (TypeError, ValueError, NotImplementedError):
            return column.to_pandas()  # is of another type by now
    if dtype.kind in "iuf" and not _is_number(types, column.type):
        return column.to_pandas()  # text, by a change of type
    try:
        return column.to_pandas().astype(dtype, copy=False)
    except (TypeError, ValueError):
        return column.to_pandas()


def _is_number(types: Any, kind: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _extension(pandas: Any, dtype: Any) -> bool:
    return bool(pandas.api.types.is_extension_array_dtype(dtype))
