"""Root mean square norms in one operation.

transformers writes them as six, each a pass over the hidden states: a fifth of the time of a CPU's prefill, and most of
the kernel launches of a GPU's decode. Here the product is rounded once and not twice, so bfloat16 outputs may differ
in the last bit.

On a CPU torch's own operator is a row of operations, too. For one token those take longer to start than to run, and a
layer norm does the same in fewer: the numbers x and -x have mean 0, and for deviation the root mean square of x.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 1 << 13  # numbers that are normalised in less time than operations take to start


class FusedRMSNorm(nn.Module):
    """x [..., D] divided by its root mean square over D, times a weight [D]."""

    _twice: Tensor

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.eps = eps
        self.register_buffer("_twice", torch.cat((weight, weight)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        dim = x.shape[-1]
        if x.device.type == "cpu" and x.numel() <= FEW:
            return F.layer_norm(torch.cat((x, -x), -1), (2 * dim,), self._twice, None, self.eps)[..., :dim]
        return F.rms_norm(x, (dim,), self.weight, self.eps)


@torch.no_grad()
def fuse_norms(model: nn.Module) -> None:
    """Replace every norm of a model that is found to compute the same; leaves others, such as Gemma's, as they are."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            weight, eps = getattr(child, "weight", None), getattr(child, "variance_epsilon", None)
            if not type(child).__name__.endswith("RMSNorm") or not isinstance(weight, nn.Parameter) or eps is None:
                continue
            fused = FusedRMSNorm(weight, eps)
            sample = torch.linspace(-1, 1, 2 * weight.shape[0], dtype=weight.dtype, device=weight.device).view(2, -1)
            if torch.allclose(fused(sample).float(), child(sample).float(), rtol=2e-2, atol=1e-6):
                setattr(parent, name, fused)
