"""Resources for tests, on the CPU, from flat options."""

from __future__ import annotations

import dataclasses

from rdtools.data.collection import Collection
from rdtools.models.options import ModelOptions
from rdtools.search.options import SearchOptions
from rdtools.search.resources import Resources


def resources(
    collection: Collection = Collection(), kind: type[Resources] = Resources, **options
) -> Resources:
    """Return `Resources` whose groups have the options that are named."""
    groups = {}
    for name, group, defaults in (("search", SearchOptions, {}), ("model", ModelOptions, {"device": "cpu"})):
        fields = {field.name for field in dataclasses.fields(group)} & options.keys()
        groups[name] = group(**{**defaults, **{field: options.pop(field) for field in fields}})
    return kind(collection, **groups, **options)
