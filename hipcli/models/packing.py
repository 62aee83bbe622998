"""Linear layers whose weights are laid out once for the CPU's matrix unit.

torch rearranges bf16 weights at every call, which costs more than the product itself when there is one token. What is
here does it once, the way torch's own compiler does for frozen models. Outputs are the same bit for bit.
"""

import torch
from torch import Tensor, nn

# Tokens per call that the layout is chosen for; it serves any other number too.
ROWS = 2048


class PackedLinear(nn.Module):
    """A linear layer over a packed bf16 weight: x [..., in] to [..., out]."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return product


def pack_linear_layers(model: nn.Module) -> None:
    """Replace the bf16 linear layers of a model on the CPU. Leaves the model as it is where this cannot be done."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return
    # A list of linear layers would keep the weights that are replaced.
    for parent in [module for module in model.modules() if type(module) is not nn.Linear]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype is torch.bfloat16 and child.weight.device.type == "cpu":
                try:
                    packed = PackedLinear(child)
                except (RuntimeError, AttributeError):
                    return  # a build or a processor without it
                setattr(parent, name, packed)
