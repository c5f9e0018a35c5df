"""Resources and teachers for tests, on the CPU, from flat options."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from rdtools.data.collection import Collection
from rdtools.label.teachers import TeacherResources, open_teacher
from rdtools.models.options import ModelOptions
from rdtools.search.options import AnnOptions, SearchOptions
from rdtools.search.resources import Resources

Kind = TypeVar("Kind", bound=Resources)


def resources(collection: Collection = Collection(), **options: Any) -> Resources:
    """Return `Resources` whose groups have the options that are named."""
    return _of(Resources, collection, options)


def teacher_resources(collection: Collection = Collection(), **options: Any) -> TeacherResources:
    """Return `TeacherResources` whose groups have the options that are named."""
    return _of(TeacherResources, collection, options)


def opened(spec: str, setting: TeacherResources | None = None, **options: Any) -> Any:
    """Open a teacher with resources, or with the options that are named.

    It may be of any class: tests read attributes that only some teachers have.
    """
    return open_teacher(spec, setting or teacher_resources(**options))


def _of(kind: type[Kind], collection: Collection, options: dict[str, Any]) -> Kind:
    search, ann = _taken(SearchOptions, options), _taken(AnnOptions, options)
    model = ModelOptions(**{"device": "cpu"} | _taken(ModelOptions, options))
    return kind(collection, search=SearchOptions(**search), ann=AnnOptions(**ann), model=model, **options)


def _taken(group: type, options: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a group out of options."""
    names = {field.name for field in dataclasses.fields(group)} & options.keys()
    return {name: options.pop(name) for name in names}
