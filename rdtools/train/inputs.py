"""The inputs of a training run: the dev set, and the records as groups."""

from __future__ import annotations

from contextlib import ExitStack

from rdtools.core.records import Record
from rdtools.data.collection import Collection
from rdtools.data.leakage import open_leakage
from rdtools.formats import expected, read_records
from rdtools.train.dev import DevOptions
from rdtools.train.dev_set import DevLeakage, DevSet, HeldBack, open_dev_set
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Objective
from rdtools.train.options import GroupOptions, StudentOptions, TrainingInput
from rdtools.train.teacher import check_teacher
from rdtools.train.torchrun import Processes
from rdtools.train.usable import Embeddings


def open_inputs(
    processes: Processes,
    source: TrainingInput,
    collection: Collection,
    objective: Objective,
    grouping: GroupOptions,
    dev: DevOptions,
    student: StudentOptions,
) -> tuple[Groups, DevSet | None]:
    """Let the main process read the dev set and the records; the others open the file of the groups."""
    shared = processes.world_size > 1
    with ExitStack() as stack:

        def read() -> tuple[Groups, DevSet | None]:
            made = read_inputs(source, collection, objective, grouping, shared, dev, student)
            if shared:
                stack.callback(made[0].path.unlink)
            return made

        groups, dev_set = processes.from_main(read)
        if shared:
            with processes.at_hand(groups.path) as path:
                groups.open(path)
    return groups, dev_set


def read_inputs(
    source: TrainingInput,
    collection: Collection,
    objective: Objective,
    grouping: GroupOptions,
    shared: bool,
    dev: DevOptions,
    student: StudentOptions,
) -> tuple[Groups, DevSet | None]:
    """Read the dev set, and the records into groups; warn of what the records hold."""
    dev_set = None if dev.dev is None else open_dev_set(dev.dev, collection, student.kind in ("be", "sparse"))
    reading, has_texts = collection.reading, collection.has_corpus or collection.has_queries
    embeddings = Embeddings() if objective.needs_embeddings else None

    def prepare(record: Record) -> None:
        if has_texts:
            collection.complete(record)
        if embeddings is not None:
            embeddings.check(record)

    check = None if embeddings is None and not has_texts else prepare
    records = expected(read_records(source.files, reading, check), reading)
    held_back = None if dev.dev_share is None else HeldBack(dev.dev_share, grouping.seed)
    in_dev = None if dev_set is None else DevLeakage(dev_set)
    leakage = None
    if source.check_against is not None:
        leakage = open_leakage(source.check_against, reading)
    for watcher in (leakage, in_dev):
        records = records if watcher is None else watcher.watch(records)
    groups = Groups(
        records if held_back is None else held_back.rest(records),
        objective, grouping, source.score_scale, shared, embeddings,
    )  # fmt: skip
    try:
        if leakage is not None:
            leakage.report(f"--check-against {source.check_against}")
        if in_dev is not None:
            in_dev.report()
        check_teacher(objective, groups, student)
        return groups, dev_set if held_back is None else held_back.dev_set()
    except BaseException:
        groups.path.unlink(missing_ok=True)
        raise
