"""The options that say how a model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag

DTYPES = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "fp32": "float32",
}
_DEVICES = ("cpu", "cuda", *(f"cuda:{number}" for number in range(8)), "mps")


@dataclass(frozen=True)
class LoadingOptions(OptionGroup):
    """The device of a model, and permission to run its code."""

    heading: ClassVar[str] = "Models"

    device: str | None = flag(
        "--device",
        default=None,
        metavar="NAME",
        complete=lambda incomplete: [name for name in _DEVICES if name.startswith(incomplete)],
        default_text="a GPU if there is one",
        help="cpu, cuda, cuda:1, mps.",
    )
    trust_remote_code: bool = flag(
        "--trust-remote-code", default=False, help="Run code that comes with a model (off: it is refused)."
    )


@dataclass(frozen=True)
class DeviceOptions(LoadingOptions):
    """The device and precision of a model."""

    dtype: str = flag(
        "--dtype", default="float32", metavar="NAME", choices=DTYPES, kind="dtype", parse=DTYPES.__getitem__,
        help="Precision of the model: float32, bfloat16 (bf16), float16 (fp16). Scores are always float32.",
    )  # fmt: skip


@dataclass(frozen=True)
class ModelOptions(DeviceOptions):
    """The use of a model: its input is truncated at `max_length` tokens (None: the model's own limit)."""

    max_length: int | None = flag(
        "--max-length", default=None, metavar="N", min=1, default_text="the model's own",
        help="Truncate the model's input at N tokens.",
    )  # fmt: skip
    batch_tokens: int | None = flag(
        "--batch-tokens", default=None, metavar="N", min=1, default_text="1024 on a CPU, 65536 on a GPU",
        help="Tokens of a batch, padding included.",
    )  # fmt: skip
