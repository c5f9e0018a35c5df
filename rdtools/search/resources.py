"""What sources, teachers and diagnostics may draw on besides their own argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdtools.formats import Reading
from rdtools.models.options import ModelOptions
from rdtools.search.options import SearchOptions

if TYPE_CHECKING:
    from rdtools.data.collection import Collection


@dataclass(frozen=True, eq=False)
class Resources:
    """A collection, and how indexes, models and files are opened.

    It equals itself alone, so that what was opened with it can be cached and shared.
    """

    collection: Collection
    search: SearchOptions = SearchOptions()
    model: ModelOptions = ModelOptions()
    reading: Reading = Reading()
    score_scale: str | None = None
    seed: int = 0
