"""Cuts: the part of a stream whose diagnostic lies in a range of its quantiles."""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from rdtools.core.errors import UsageError
from rdtools.core.output import spooling
from rdtools.core.records import Record
from rdtools.core.registry import check_name
from rdtools.diagnose.entropy import Floats
from rdtools.formats.records import write_jsonl

Flags = NDArray[np.bool_]
Cut = Callable[[Floats], Flags]
"""Which of n defined values are kept, (n,) -> (n,)."""


CUTS: dict[str, Cut] = {
    "low": lambda x: x <= np.quantile(x, 0.25),
    "middle": lambda x: (x > np.quantile(x, 0.25)) & (x <= np.quantile(x, 0.75)),
    "high": lambda x: x > np.quantile(x, 0.75),
    "below-median": lambda x: x <= np.quantile(x, 0.5),
    "above-median": lambda x: x > np.quantile(x, 0.5),
    "inlier": lambda x: ~_outlying(x),
    "outlier": lambda x: _outlying(x),
}
"""Name -> which of the values are kept. Quantiles are linear between order statistics, numpy's default."""


def _outlying(values: Floats) -> Flags:
    low, high = np.quantile(values, [0.25, 0.75])
    with np.errstate(over="ignore"):  # a fence may be infinite
        reach = 1.5 * (high - low)
        flags: Flags = (values < low - reach) | (values > high + reach)
    return flags


PAPER_CUTS: dict[str, Cut] = {
    **CUTS,
    "low": lambda x: x > np.quantile(x, 0.25),
    "high": lambda x: x < np.quantile(x, 0.75),
    "below-median": lambda x: x < np.quantile(x, 0.5),
}
"""What the code of 2505.21058 keeps: its upper and lower quartile are the parts that it removes."""


def parse_cut(name: str, named: Mapping[str, Cut] = CUTS) -> Cut:
    """Return one of `named`, or `A:B`: what is above quantile A, or A is 0, and not above quantile B."""
    if name.count(":") != 1:
        check_name([*named, "A:B"], name, "cut")
        return named[name]
    try:
        low, high = map(float, name.split(":"))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 <= low < high <= 1:
        raise UsageError(f"cut {name!r}: A:B are two quantiles with 0 <= A < B <= 1, such as 0.1:0.9")
    return lambda x: ((x > np.quantile(x, low)) | (low == 0)) & (x <= np.quantile(x, high))


def cut_records(
    diagnosed: Iterable[tuple[list[Record], Floats]], place: int, cut: Cut, *, last_decides: bool = False
) -> Iterator[bytes]:
    """Yield the lines of the records that `cut` keeps by the column at `place`, in order.

    The quantiles need all records first: these wait in a temporary file that has no name, while memory
    holds one number each. A record whose column is undefined is not kept. Where the last record of a
    query decides for all of them, its value alone enters the quantiles; their ids are then held too.
    """
    values = array("d")
    query_ids: list[str] = []
    with spooling(), tempfile.TemporaryFile() as spool:
        for records, table in diagnosed:
            spool.writelines(map(write_jsonl, records))
            values.frombytes(table[:, place].tobytes())
            if last_decides:
                query_ids += [record["query_id"] for record in records]
        spool.seek(0)
        column = np.frombuffer(values)
        kept = _kept_by_last(column, query_ids, cut) if last_decides else _kept(column, cut)
        yield from compress(spool, kept)


def _kept(values: Floats, cut: Cut) -> Flags:
    kept: Flags = ~np.isnan(values)
    if kept.any():
        kept[kept] = cut(np.nan_to_num(values[kept]))  # quantiles need numbers: infinite is the largest
    return kept


def _kept_by_last(values: Floats, query_ids: list[str], cut: Cut) -> Flags:
    last = {query_id: row for row, query_id in enumerate(query_ids)}
    decided = dict(zip(last, _kept(values[list(last.values())], cut).tolist(), strict=True))
    return np.array([decided[query_id] for query_id in query_ids], bool)
