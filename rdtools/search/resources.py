"""The resources of sources, teachers and diagnostics, besides their own argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rdtools.formats import Reading
from rdtools.models.options import ModelOptions
from rdtools.search.options import AnnOptions, SearchOptions

if TYPE_CHECKING:
    from rdtools.data.collection import Collection


@dataclass(frozen=True, eq=False)
class Resources:
    """A collection, and the options for indexes, models and files.

    It equals only itself, so that functions that open something with it can be cached.
    """

    collection: Collection
    search: SearchOptions = SearchOptions()
    model: ModelOptions = ModelOptions()
    reading: Reading = Reading()
    score_scale: str | None = None
    seed: int = 0
    ann: AnnOptions = field(default=AnnOptions(), kw_only=True)
