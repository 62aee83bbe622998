"""Matrix products with a model's weights, laid out as the processor computes them fastest."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hipcli.errors import first_line

ROWS = 2048  # tokens a call that the packed layout is chosen for; it serves any other number too


class Linear:
    """x [..., in] times a weight [out, in], plus a bias [out]: [..., out].

    Packed, bfloat16 weights are laid out once for the CPU's matrix unit. torch otherwise rearranges them at every call,
    which costs more than the product itself when there is one token. Outputs are the same bit for bit.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, packed: bool = False) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS) if packed else weight
        self._bias = bias
        self._packed = packed

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
            return product
        return F.linear(x, self._weight, self._bias)


def why_not_packed(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why weights of this type cannot be packed on this device; None where they can."""
    if device.type != "cpu" or dtype is not torch.bfloat16:
        return "only bfloat16 on a CPU has a packed layout"
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return "this build of torch has no packed layout"
    try:
        packed = Linear(torch.eye(16, dtype=dtype), packed=True)
        same = torch.equal(packed(torch.eye(16, dtype=dtype)), torch.eye(16, dtype=dtype))
    except RuntimeError as error:  # a processor without it
        return f"torch cannot pack here: {first_line(error)}"
    return None if same else "torch's packed product differs"
