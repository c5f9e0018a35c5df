"""Rows of parquet files and of datasets of the Hugging Face hub as JSON lines, and JSON lines as parquet.

Fields that are null are left out when read: a column holds a value for every row, so null is how it says that
a row lacks the field.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from rdtools.core.errors import RdError, UsageError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

HUB = "hf:"
PARQUET = ".parquet"
PARQUET_START = b"PAR1\x15"
"""The first bytes of a parquet file: its mark, and the first byte of the header that follows."""
_FILES = (PARQUET, ".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst")
_BATCH = 1024


class RowLines:
    """Rows as a stream of JSON lines."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._lines = map(_json_line, rows)
        self._rest = b""

    def read1(self, size: int) -> bytes:
        line = self._rest or next(self._lines, b"")
        self._rest = line[size:]
        return line[:size]


def _json_line(row: dict[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(_without_nulls(row), default=str, option=orjson.OPT_APPEND_NEWLINE)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return list(map(_without_nulls, value)) if isinstance(value, list) else value


def parquet_rows(file: BinaryIO, source: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a parquet file, which must be seekable; memory holds one row group."""
    if not file.seekable():
        raise RdError(f"{source}: parquet cannot be read from a pipe (give the FILE)")
    with _arrow(source) as arrow:
        for batch in arrow.parquet.ParquetFile(file).iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()


@contextmanager
def _arrow(name: str) -> Iterator[Any]:
    """Yield the module pyarrow; its errors become one line that names the file."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise RdError(f"{name}: parquet needs pyarrow (pip install pyarrow)") from None
    try:
        yield pyarrow
    except pyarrow.ArrowException as error:
        raise RdError(f"{name}: parquet: {first_line(error)}") from error


def hub_rows(spec: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of `hf:NAME[:CONFIG][:SPLIT]`; NAME may be a folder, and CONFIG one of its files.

    Raises:
        RdError: the dataset cannot be read; the message says what there is.
    """
    name, *parts = spec.removeprefix(HUB).split(":")
    if not name or not all(parts) or len(parts) > 2:
        raise UsageError(
            f"{spec}: not a dataset (give {HUB}NAME, {HUB}NAME:CONFIG or {HUB}NAME:CONFIG:SPLIT)"
        )
    try:
        import datasets
    except ImportError:
        raise RdError(f"{spec}: needs the package datasets (pip install datasets)") from None
    if int(datasets.__version__.split(".")[0]) < 4:
        raise RdError(f"{spec}: needs datasets 4 or later, which runs no scripts (pip install -U datasets)")
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield from _split_of(datasets, name, parts, spec)
    except RdError:
        raise
    except (FileNotFoundError, ConnectionError) as error:
        problem = "neither a folder, nor in the cache, nor reachable on the hub"
        raise RdError(f"{spec}: {problem} ({first_line(error)})") from error
    except Exception as error:  # datasets raises what its readers raise
        raise RdError(f"{spec}: {first_line(error)}") from error


def _split_of(datasets: Any, name: str, parts: list[str], spec: str) -> Iterable[dict[str, Any]]:
    """Return the rows of one split, streamed."""
    more: dict[str, Any] = {}
    if parts and parts[0].endswith(_FILES):
        more["data_files"] = parts.pop(0)
    elif parts and (len(parts) == 2 or parts[0] in datasets.get_dataset_config_names(name)):
        more["name"] = parts.pop(0)
    splits = datasets.load_dataset(name, streaming=True, **more)
    split = parts[0] if parts else next(iter(splits)) if len(splits) == 1 else "train"
    if split not in splits:
        wanted = f"no split {split!r}" if parts else "several splits"
        raise RdError(f"{spec}: {wanted} (choose from {', '.join(splits)})")
    rows: Iterable[dict[str, Any]] = splits[split]
    return rows


class ParquetSink:
    """JSON lines that become a parquet file.

    They wait in a temporary file beside it, because any row may have a field that no row before it had.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        import tempfile

        with _arrow(name):
            pass  # complain before the work, not after it
        self._file = file
        self._name = name
        self._lines = tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(name)))  # noqa: SIM115

    def write(self, data: bytes) -> None:
        if data and not data.startswith(b"{"):
            problem = "parquet holds rows with named columns, which this format has not"
            raise RdError(f"{self._name}: {problem} (use -f jsonl, or another format of JSON objects)")
        self._lines.write(data)

    def close(self) -> None:
        with _arrow(self._name) as arrow, self._lines:
            schema = arrow.schema([])
            for rows in self._batches():
                own = [arrow.field(name, values.type) for name, values in _columns(arrow, rows).items()]
                schema = arrow.unify_schemas([schema, arrow.schema(own)], promote_options="permissive")
            with arrow.parquet.ParquetWriter(self._file, schema) as writer:
                for rows in self._batches():
                    columns = _columns(arrow, rows, schema)
                    writer.write_table(arrow.Table.from_arrays(list(columns.values()), schema=schema))

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        import orjson

        self._lines.seek(0)
        while lines := list(islice(self._lines, _BATCH)):
            yield list(map(orjson.loads, lines))


def _columns(arrow: Any, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> dict[str, pa.Array]:
    """Return the columns of rows: those of `schema`, or else all, their types found from the values.

    Raises:
        ArrowException: a column has values of several types; the message names it.
    """
    names = schema.names if schema is not None else dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        kind = None if schema is None else schema.field(name).type
        try:
            columns[name] = arrow.array([row.get(name) for row in rows], type=kind)
        except arrow.ArrowException as error:
            raise arrow.ArrowInvalid(f'field "{name}": {error}') from error
    return columns
