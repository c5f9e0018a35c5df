"""Matrix products of float32 on AMD's processors with AVX-512.

torch does them with MKL, which leaves half of each register of such a processor unused. oneDNN, which torch
has for other types, is 2.3 times as fast.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.autograd.function import once_differentiable

_FEWEST = 8
"""With fewer rows or columns of a layer, MKL is as fast."""


def product(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return `rows` (n, k) times the transpose of `columns` (m, k): (n, m)."""
    if onednn_is_faster() and len(rows) and len(columns) >= _FEWEST and _are_float32(rows, columns):
        return _times(rows, columns)
    return rows @ columns.T


def use_faster_products(model: torch.nn.Module) -> None:
    """Make the linear layers of `model` multiply with oneDNN, on a processor where that is faster.

    Their weights, names and files stay as they are. Values differ by rounding.
    """
    if onednn_is_faster():
        for part in model.modules():
            if type(part) is torch.nn.Linear:
                part.__class__ = OneDnnLinear


@cache
def onednn_is_faster() -> bool:
    """Whether the processor is one of AMD with AVX-512, and torch has MKL and oneDNN."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and "AuthenticAMD" in _processor()
    )


def _processor() -> str:
    """Return what the system says of its processor, the maker among it."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # Windows, macOS
        return platform.processor()


class OneDnnLinear(torch.nn.Linear):
    """A linear layer that multiplies float32 on the CPU with oneDNN, in both directions."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        if self._can_take(input):
            rows = input.reshape(-1, self.in_features)
            output: torch.Tensor = _Product.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return output.view(*input.shape[:-1], self.out_features)
        return super().forward(input)

    def _can_take(self, inputs: torch.Tensor) -> bool:
        return (
            type(inputs) is torch.Tensor
            and isinstance(self.weight, torch.nn.Parameter)
            and _are_float32(inputs, self.weight)
            and inputs.dim() > 1
            and inputs.numel() >= _FEWEST * self.in_features
            and self.out_features >= _FEWEST
            and not torch.is_autocast_enabled("cpu")
        )


class _Product(torch.autograd.Function):
    """`rows` (n, in) to (n, out), and back. What a custom function returns must not be a view."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
        ctx.save_for_backward(rows, weight)
        return _times(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        return (
            _times(gradient, weight.t()) if of_rows else None,
            _times(gradient.t(), rows.t()) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _are_float32(*tensors: torch.Tensor) -> bool:
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)


def _times(rows: torch.Tensor, columns: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """(n, k) and (m, k) -> (n, m)."""
    products: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns, bias, "none", [], "")
    return products
