"""Prompts: what a language model (`llm:`, `t5:`, `api:`) is asked about a pair, and its answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import ClassVar, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag

DEFAULT_TEMPLATE = (
    "Document: {document}\n\nQuery: {query}\n\nDoes the document answer the query? Answer yes or no.\nAnswer:"
)
DEFAULT_ANSWERS = " yes, no"
DEFAULT_CHAT_ANSWERS = "yes,no"
_QWEN3_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
_LLM, _T5, _API = "--teacher llm:MODEL", "--teacher t5:MODEL", "--teacher api:MODEL"


class _Preset(NamedTuple):
    """The prompt that a kind of model was trained with. `instruction` fills {instruction} in its template."""

    teacher: str
    template: str
    answers: str
    instruction: str | None = None


PRESETS = {
    # the model card of Qwen/Qwen3-Reranker-0.6B (-4B and -8B are the same)
    "qwen3-reranker": _Preset(
        "llm",
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
        'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "yes,no",
        _QWEN3_INSTRUCTION,
    ),
    # Nogueira et al.: Document ranking with a pretrained sequence-to-sequence model (2020)
    "monot5": _Preset("t5", "Query: {query} Document: {document} Relevant:", "true,false"),
    # Zhuang et al.: RankT5 (2023)
    "rankt5": _Preset("t5", "Query: {query} Document: {document}", "<extra_id_10>"),
}
_DEFAULT_T5 = "monot5"


@dataclass(frozen=True)
class Question:
    """A prompt that can be asked: a format string with {query} and {document}, and one or two answers."""

    template: str
    answers: tuple[str, ...]
    chat: bool = False

    def __call__(self, query: str, document: str) -> str:
        return self.template.format(query=query, document=document)


def unescape(text: str) -> str:
    r"""Return the text with \n, \t and \\ as a line end, a tab and a backslash."""
    return re.sub(r"\\([nt\\])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)


@dataclass(frozen=True)
class Prompt(OptionGroup):
    """The prompt of `llm`, `t5` and `api`; without options each has its own.

    Raises:
        UsageError: the template lacks a field or has another one, or there are more than two answers.
    """

    heading: ClassVar[str] = "Prompts"

    template: str | None = flag(
        "--prompt", default=None, metavar="TEXT", default_text="see above", needs=(_LLM, _T5, _API),
        excludes=("has a prompt", ("--prompt-preset",)), parse=unescape,
        help="The question, with {query} and {document}. \\n, \\t and \\\\ stand for a line end, a tab and a "
        "backslash.",
    )  # fmt: skip
    preset: str | None = flag(
        "--prompt-preset", default=None, metavar="NAME", choices=PRESETS, kind="preset", needs=(_LLM, _T5),
        default_text=f"none; for t5 {_DEFAULT_T5}", excludes=("has its own template", ("--chat",)),
        help="Prompt and answers of a family of models: qwen3-reranker (llm), monot5 or rankt5 (t5).",
    )  # fmt: skip
    instruction: str | None = flag(
        "--instruction", default=None, metavar="TEXT", needs=(_LLM, _T5, _API), parse=unescape,
        default_text="that of the preset",
        help="Replace {instruction} in the prompt, which describes what to search for.",
    )  # fmt: skip
    answers: str | None = flag(
        "--answers", default=None, metavar="YES,NO", needs=(_LLM, _T5, _API),
        default_text=f"the preset's; {DEFAULT_ANSWERS!r}, with --chat or api {DEFAULT_CHAT_ANSWERS!r}",
        help="The two answers as they follow the prompt, with any leading space; one token each. Of one "
        "answer alone, its logit is the score.",
    )  # fmt: skip
    chat: bool = flag(
        "--chat", default=False, needs=_LLM,
        help="Put the prompt into the model's chat template, as a message of the user.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template is not None:
            self._check(self.template)
        answers = [" yes"] if self.answers is None else self.answers.split(",")
        if len(answers) > 2 or not all(answers):
            raise UsageError(
                f"--answers {self.answers!r}: give two answers separated by a comma, YES,NO, or one alone"
            )
        template = PRESETS[self.preset].template if self.preset else self.template or ""
        if self.instruction is not None and "{instruction}" not in template:
            raise UsageError("--instruction: the prompt has no {instruction} (write it into --prompt)")

    def question(self, teacher: str) -> Question:
        """Return what the teacher of this name asks.

        Raises:
            UsageError: the prompt is for another kind of teacher.
        """
        preset = PRESETS[self.preset] if self.preset else self._default(teacher)
        if preset.teacher != teacher:
            raise UsageError(
                f"--prompt-preset {self.preset} is for {preset.teacher}:MODEL, not {teacher}:MODEL"
            )
        template = preset.template if self.template is None else self.template
        instruction = preset.instruction if self.instruction is None else self.instruction
        if instruction is not None:
            template = template.replace("{instruction}", instruction.replace("{", "{{").replace("}", "}}"))
        answers = tuple((self.answers or preset.answers).split(","))
        return Question(template, answers, not self.preset and (self.chat or teacher == "api"))

    def _default(self, teacher: str) -> _Preset:
        if teacher == "t5":
            return PRESETS[_DEFAULT_T5]
        chat = self.chat or teacher == "api"
        return _Preset(teacher, DEFAULT_TEMPLATE, DEFAULT_CHAT_ANSWERS if chat else DEFAULT_ANSWERS)

    def _check(self, template: str) -> None:
        try:
            fields = {tuple(field) for _, *field in Formatter().parse(template) if field[0] is not None}
        except ValueError as error:
            raise UsageError(f"--prompt: {error} (write a literal brace twice)") from None
        if self.instruction is not None:
            fields.discard(("instruction", "", None))
        if fields != {("query", "", None), ("document", "", None)}:  # name, format, conversion
            raise UsageError("--prompt must contain {query} and {document}, and nothing else in braces")
