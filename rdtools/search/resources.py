"""What sources and teachers may draw on besides their own argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdtools.formats import Reading
from rdtools.label.prompts import Prompt

if TYPE_CHECKING:
    from rdtools.data.collection import Collection
    from rdtools.models.loading import Loading


@dataclass(frozen=True, eq=False)
class Resources:
    """A setting equals itself alone, so that what was opened for it may be kept, and shared."""

    collection: Collection
    index: str | None = None
    k1: float = 1.2
    b: float = 0.75
    device: str | None = None
    dtype: str = "float32"
    max_length: int | None = None
    batch_tokens: int | None = None
    trust_remote_code: bool = False
    score_scale: str | None = None
    seed: int = 0
    reading: Reading = Reading()
    prompt: Prompt = Prompt()
    paper_compat: bool = False

    @property
    def loading(self) -> Loading:
        from rdtools.models.loading import Loading

        return Loading(self.device, self.dtype, self.max_length, self.trust_remote_code)
