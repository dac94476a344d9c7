"""Which of torch's attention kernels runs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def attention(training: bool, device: torch.device) -> AbstractContextManager[None]:
    """On processors, torch's fused attention is slower backwards than the plain one: without dropout, it made a step of
    LoRA on SMS texts in bfloat16 1.3 times as long (benchmarks/results/README.md)."""
    if not (training and device.type == "cpu"):
        return nullcontext()
    plain: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return plain
