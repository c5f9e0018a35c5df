"""Cuts: the records whose value in a column lies in a range of its quantiles (`--cut`)."""

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

Mask = NDArray[np.bool_]
Cut = Callable[[Floats], Mask]
"""The mask of the values that are kept, (n,) -> (n,)."""


CUTS: dict[str, Cut] = {
    "low": lambda x: x <= np.quantile(x, 0.25),
    "middle": lambda x: (x > np.quantile(x, 0.25)) & (x <= np.quantile(x, 0.75)),
    "high": lambda x: x > np.quantile(x, 0.75),
    "below-median": lambda x: x <= np.quantile(x, 0.5),
    "above-median": lambda x: x > np.quantile(x, 0.5),
    "inlier": lambda x: ~_is_outlier(x),
    "outlier": lambda x: _is_outlier(x),
}
"""Name -> which values are kept. Quantiles are linear between order statistics, as numpy's default."""


def _is_outlier(values: Floats) -> Mask:
    low, high = np.quantile(values, [0.25, 0.75])
    with np.errstate(over="ignore"):  # a fence may be infinite
        reach = 1.5 * (high - low)
        outlying: Mask = (values < low - reach) | (values > high + reach)
    return outlying


PAPER_CUTS: dict[str, Cut] = {
    **CUTS,
    "low": lambda x: x > np.quantile(x, 0.25),
    "high": lambda x: x < np.quantile(x, 0.75),
    "below-median": lambda x: x < np.quantile(x, 0.5),
}
"""The cuts of the code of 2505.21058, where the upper and the lower quartile are removed, not kept."""


def parse_cut(name: str, named: Mapping[str, Cut] = CUTS) -> Cut:
    """Return one of `named`, or the cut `A:B`: above quantile A, or A is 0, and at most quantile B.

    Raises:
        UsageError: the name is unknown, or A and B are not quantiles.
    """
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
    measured: Iterable[tuple[list[Record], Floats]], place: int, cut: Cut, *, last_decides: bool = False
) -> Iterator[bytes]:
    """Yield the lines of the records that `cut` keeps by the column at `place`, in order.

    The quantiles need all records first: the records wait in a nameless temporary file, while memory holds
    one number each. A record whose column is undefined is not kept. With `last_decides` only the value of a
    query's last record enters the quantiles, and decides for all its records; memory then also holds the ids.
    """
    values = array("d")
    query_ids: list[str] = []
    with spooling(), tempfile.TemporaryFile() as spool:
        for records, table in measured:
            spool.writelines(map(write_jsonl, records))
            values.frombytes(table[:, place].tobytes())
            if last_decides:
                query_ids += [record["query_id"] for record in records]
        spool.seek(0)
        column = np.frombuffer(values)
        kept = _kept_by_last(column, query_ids, cut) if last_decides else _kept(column, cut)
        yield from compress(spool, kept)


def _kept(values: Floats, cut: Cut) -> Mask:
    kept: Mask = ~np.isnan(values)
    if kept.any():
        kept[kept] = cut(np.nan_to_num(values[kept]))  # infinite becomes the largest number
    return kept


def _kept_by_last(values: Floats, query_ids: list[str], cut: Cut) -> Mask:
    last = {query_id: row for row, query_id in enumerate(query_ids)}
    decided = dict(zip(last, _kept(values[list(last.values())], cut).tolist(), strict=True))
    return np.array([decided[query_id] for query_id in query_ids], bool)
