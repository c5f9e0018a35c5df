"""The model card: README.md in the folder of a student, with the metadata that the Hugging Face hub reads."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import orjson

from rdtools.core.errors import BadLine
from rdtools.core.log import plural
from rdtools.core.manifest import commands, versions
from rdtools.core.streams import open_lines
from rdtools.core.tables import markdown_table
from rdtools.models.loading import located
from rdtools.train.losses.objective import explain_objective
from rdtools.train.trainer import Trainer

CARRIED = ("license", "license_name", "license_link", "language")
"""Fields of the base model's card that also hold for the student."""
NEEDS = "sentence-transformers"
"""The field of rd-train.json that names the version of the library that the model needs."""
_EXAMPLE = """query = "how does heat pass through a boundary layer"
documents = ["Heat transfer in a laminar boundary layer.", "A recipe for apple cake."]
"""


class Figure(NamedTuple):
    """A value of a measure, of a run on a collection."""

    run: str
    collection: str
    measure: str
    value: float


@dataclass(frozen=True)
class CardContent:
    """What a card says besides what the training knows.

    Attributes:
        name: the model, as the example loads it.
        figures: values that rd-eval has measured.
    """

    name: str = "DIR"
    figures: Sequence[Figure] = ()


def read_figures(path: str) -> list[Figure]:
    """Read the values that `rd-eval -f jsonl` or `-f tsv` has written.

    A line without a collection is of the one that the file is named after.

    Raises:
        InputError: a line has no run, measure and value.
    """
    place = PurePath(path).name.partition(".")[0]
    with open_lines(path) as lines:
        return list(lines.parsed(lambda line: _figure(line, place)))


def _figure(line: bytes, place: str) -> Figure:
    try:
        if line.startswith(b"{"):
            row = orjson.loads(line)
            names = [row[name] for name in ("run", "measure")]
            collection, value = row.get("collection", place), float(row["value"])
        else:
            *names, number = line.decode().split("\t")[:3]
            collection, value = place, float(number)
        run, measure = map(str, names)
    except (ValueError, KeyError, TypeError):
        raise BadLine("no run, measure and value", "give the output of rd-eval, without -q") from None
    return Figure(run, str(collection), measure, value)


def model_card(
    trainer: Trainer,
    about: Mapping[str, Any],
    result: Mapping[str, Any] | None = None,
    content: CardContent = CardContent(),
) -> str:
    """Return a README.md of the trained model; the base model's card no longer applies."""
    student, result = trainer.student, result or {}
    spec = str(about["options"]["student"]).partition(":")[2]
    loss = _loss(trainer)
    base = hub_name(spec)
    made = [shortened(command) for command in commands()]
    link = f"[{base}](https://huggingface.co/{base})"
    own = f"`{PurePath(spec).name}`"
    shown = own if not base else f"{own} (base model: {link})" if Path(spec).exists() else link
    version = about.get(NEEDS)
    needs = f"It needs sentence-transformers {version} or later.\n" if version else ""
    parts = [
        f"---\n{_metadata(trainer, about, result, content, base, made)}\n---\n",
        f"# {PurePath(content.name).name if content.name != 'DIR' else 'A student'}\n",
        f"A {student.card_kind} trained with `rd-train` {about.get('rdtools', '')} from {shown}\n"
        f"by the loss `{loss}` (`rd-train --explain-loss {loss}` gives the formula).\n"
        f"{_settings(trainer, about, result)}"
        "All options and the provenance of the data are in `rd-train.json`.\n" + needs,
        f"## Usage\n\n```python\n{_usage(student.card_usage, content.name)}\n```\n",
        f"## Training\n\n{_table(_facts(trainer, about, result), ('', ''))}",
        f"```text\n{explain_objective(loss)}\n```\n",
    ]
    if figures := _all_figures(about, result, content):
        rows = [(one.run, one.collection, one.measure, f"{one.value:.4f}") for one in figures]
        parts.append(f"## Evaluation\n\n{_table(rows, ('run', 'collection', 'measure', 'value'), words=3)}")
    if made:
        parts.append("## Commands\n\n```sh\n" + "\n".join(made) + "\n```\n")
    parts.append(f"## Versions\n\n{_table(versions().items(), ('', ''))}")
    return "\n".join(parts)


def hub_name(model: str) -> str | None:
    """Return the name on the hub of a model, given as a name or a folder; None if it is not known.

    A folder in the hub's cache has the name in its path, another one may have it in its card, as the base
    that it was trained from.
    """
    if cached := re.search(r"models--([^/]+)/snapshots/", str(Path(model).resolve()) + "/"):
        return cached[1].replace("--", "/")
    if not Path(model).exists():
        packaged = "/" not in model and located(model) != model
        name = f"sentence-transformers/{model}" if packaged else model
    else:
        found = base_card(model).get("base_model")
        name = (found[0] if found else "") if isinstance(found, list) else str(found or "")
    return name if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) else None


def base_card(model: str) -> dict[str, Any]:
    """Return the metadata of a model's card, empty if neither its folder nor the cache has one."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.repocard import metadata_load

    folder = located(model)
    with contextlib.suppress(Exception):  # a card that others have written may hold anything
        path = (
            Path(folder, "README.md")
            if Path(folder).is_dir()
            else try_to_load_from_cache(folder, "README.md")
        )
        return dict(metadata_load(str(path)) or {})
    return {}


def shortened(command: str) -> str:
    """Return a command line in which absolute paths are their last part: others have no use for the rest."""
    return re.sub(r"(?<![\w.~-])/(?:[^/\s:,'\"]+/)+", "", command)


def _loss(trainer: Trainer) -> str:
    goal = trainer.objective
    terms = zip(goal.weights, goal.losses, strict=True)
    return "+".join(part.name if weight == 1 else f"{weight:g}*{part.name}" for weight, part in terms)


def _metadata(
    trainer: Trainer,
    about: Mapping[str, Any],
    result: Mapping[str, Any],
    content: CardContent,
    base: str | None,
    made: Sequence[str],
) -> str:
    """Return the YAML head of the card."""
    from huggingface_hub import EvalResult, ModelCardData

    tags = trainer.student.card_tags.split(", ")
    known = base_card(str(about["options"]["student"]).partition(":")[2])
    datasets = list(dict.fromkeys(re.findall(r"\bhf:([\w.-]+/[\w.-]+)", " ".join(made))))
    own = PurePath(content.name).name
    figures = _all_figures(about, result, content)
    if len({one.run for one in content.figures}) > 1:  # of several runs, those of another name are not ours
        figures = [one for one in figures if one.run == own]
    results = [
        EvalResult(
            task_type="information-retrieval", task_name="Information Retrieval",
            dataset_type=re.sub(r"[^\w-]+", "-", one.collection).strip("-").lower() or "unknown",
            dataset_name=one.collection, metric_name=one.measure, metric_value=round(one.value, 6),
            metric_type=one.measure.lower().replace("@", "_at_"),
        )
        for one in figures
    ]  # fmt: skip
    data = ModelCardData(
        base_model=base,
        datasets=datasets or None,
        library_name="sentence-transformers",
        pipeline_tag=tags[-1],
        tags=[*tags, "ranking-distillation", "rdtools"],
        model_name=own if results else None,
        eval_results=results or None,
        **{field: known[field] for field in CARRIED if known.get(field)},
    )
    text: str = data.to_yaml().strip()
    return text


def _settings(trainer: Trainer, about: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Return the lines of the card on the teacher's temperature and a learned scale, where there are any."""
    lines = []
    stated = about["options"].get("teacher-temperature")
    if fitted := about.get("teacher"):
        lines.append(f"Teacher temperature: {fitted['temperature']:.4g}, found by `{fitted['method']}`.")
    elif stated is not None:
        lines.append(f"Teacher temperature: {stated:g}, stated.")
    if (scale := result.get("scale", trainer.student.learned_scale)) is not None:
        lines.append(f"Scale of the similarity in training: learned, {scale:g}; this model leaves it out.")
    return "".join(f"{line}\n" for line in lines)


def _usage(usage: str, name: str) -> str:
    """Return the student's example with texts, the name of the model, and what it prints."""
    return usage.replace("\n\n", f"\n\n{_EXAMPLE}", 1).replace('"DIR"', f'"{name}"') + "\nprint(scores)"


def _facts(
    trainer: Trainer, about: Mapping[str, Any], result: Mapping[str, Any]
) -> Iterable[tuple[str, str]]:
    """Yield what the training read and did; `result` has it of a run that finished earlier."""
    data, progress, options = about["data"], trainer.progress, about["options"]
    steps, docs, tokens = (
        result.get(name, done)
        for name, done in (("steps", progress.step), ("docs", progress.docs), ("tokens", progress.tokens))
    )
    yield "teacher", ", ".join(map(shortened, data.get("teachers", ()))) or "none: judgements only"
    yield "scale of its scores", ", ".join(data.get("score_scales", ())) or "–"
    if changed := [one for field in ("transformations", "augmentation") for one in data.get(field, ())]:
        yield "changes of scores and texts", "; ".join(str(orjson.dumps(one).decode()) for one in changed)
    yield "training groups", f"{data['groups']:,}"
    yield "documents of all steps", f"{docs:,}"
    yield "tokens", f"{tokens:,}"
    yield "steps", f"{steps:,}, of {plural(trainer.options.groups_per_step, 'group')}"
    yield "learning rate", f"{trainer.lr:g}"
    if active := result.get("active_dims"):
        assert trainer.flops is not None
        yield "FLOPS regulariser", f"queries {trainer.flops.query:g}, documents {trainer.flops.document:g}"
        yield "active dimensions", f"queries {active['query']:g}, documents {active['document']:g}"
    yield "seed", str(options.get("seed", trainer.options.seed))
    if "seconds" in result:
        yield "time", f"{result['seconds']:g} s on {trainer.student.device}"


def _all_figures(about: Mapping[str, Any], result: Mapping[str, Any], content: CardContent) -> list[Figure]:
    """Return the dev value of the saved weights, and the figures of --card-metrics."""
    figures = list(content.figures)
    if "dev" in result:
        share, dev = about["options"].get("dev-share"), about["options"].get("dev") or "held back"
        name = f"dev: {share:g} of the queries" if share else f"dev: {PurePath(dev).name}"
        figures.insert(0, Figure(PurePath(content.name).name, name, result["measure"], result["dev"]))
    return figures


def _table(rows: Iterable[Sequence[str]], header: Sequence[str], words: int = 2) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return markdown_table(header, cells, words).decode()
