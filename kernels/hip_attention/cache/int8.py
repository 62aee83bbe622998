"""Keys or values kept as 8-bit integers: half the memory of 16-bit numbers, a quarter of that of 32-bit ones."""

from typing import NamedTuple

import torch
from torch import Tensor

from hip_attention.backend import has_triton
from hip_attention.cache.buffer import Buffer, gather_blocks

FIRST = 128  # tokens that calibrate
LARGEST = 127
PIECE = 1 << 18  # numbers computed at a time, so that they stay in the CPU's L2 cache


class Codes(NamedTuple):
    """Tokens as int8 codes: a number is code * scale * spread + centre, computed in float32.

    codes: int8 [..., T, D]; scales: bfloat16 [..., T, 1], one per token and head; spread, centre: [..., 1, D].
    """

    codes: Tensor
    scales: Tensor
    spread: Tensor
    centre: Tensor

    def encode(self, x: Tensor) -> None:
        """Quantise tokens x [B, H, T, D] into `codes` and `scales`."""
        if x.is_cuda and has_triton():
            from hip_attention.triton_backend import int8

            int8.encode(x, *self)
            return
        spread, centre = self.spread.float(), self.centre.float()
        for begin, stop in _pieces(x):
            part = (x[:, :, begin:stop].float() - centre).div_(spread)
            scales = (part.abs().amax(3, keepdim=True) / LARGEST).bfloat16()
            # Where the scale is zero, all numbers are: this avoids 0 / 0.
            part.div_(scales.float().clamp_(min=torch.finfo(torch.float32).tiny)).round_()
            self.codes[:, :, begin:stop] = part.clamp_(-LARGEST, LARGEST)
            self.scales[:, :, begin:stop] = scales

    def decode(self, out: Tensor) -> Tensor:
        """Dequantise the tokens into `out` [..., T, D] of any floating dtype, and return it."""
        if out.is_cuda and has_triton() and out.dim() == 4:
            from hip_attention.triton_backend import int8

            int8.decode(out, *self)
            return out
        spread, centre = self.spread.float(), self.centre.float()
        for begin, stop in _pieces(out):
            part = self.codes[..., begin:stop, :] * self.scales[..., begin:stop, :].float()
            out[..., begin:stop, :] = part.mul_(spread).add_(centre)
        return out


class QuantizedBuffer:
    """A `Buffer` that stores 1 + 2 / D bytes per number and returns numbers with a rounding error.

    The first tokens calibrate it, FIRST of them if the first `append` holds as many: median and spread of every head
    and dimension, where the spread is the mean absolute deviation from the median. The median removes the large
    constants that some models add to keys. The first token, which is unlike all others, hardly changes either. A token
    is then rounded with one scale per head, its own, so that storing and forgetting tokens changes no other token.
    """

    def __init__(self, capacity: int = 0, block: int = 1) -> None:
        self._codes = Buffer(capacity, block)
        self._scales = Buffer(capacity, block)
        self._spread = self._centre = torch.empty(0)

    @property
    def length(self) -> int:
        """Number of stored tokens."""
        return self._codes.length

    @property
    def capacity(self) -> int:
        """Tokens there is memory for."""
        return self._codes.capacity

    @property
    def raw(self) -> Codes:
        """The whole storage: codes int8 [B, H, capacity, D], scales bfloat16 [B, H, capacity, 1]."""
        return Codes(self._codes.data, self._scales.data, self._spread, self._centre)

    @property
    def address(self) -> int:
        """Where the codes begin in memory; the scales move with them."""
        return self._codes.address

    @property
    def like(self) -> Tensor:
        """An empty tensor [B, H, 0, D] with the dtype and device of dequantised tokens."""
        return self._centre[:, :, :0]

    def append(self, new: Tensor) -> None:
        """Append `new` [B, H, T, D]."""
        if self.length == 0:
            self._calibrate(new[:, :, :FIRST].float(), new.dtype)
        count, like = new.shape[2], new[:, :, :0]
        codes = self._codes.extend(count, like.to(torch.int8))
        scales = self._scales.extend(count, like[..., :1].to(torch.bfloat16))
        Codes(codes, scales, self._spread, self._centre).encode(new)

    def advance(self) -> None:
        """Count one more token, which `put` then writes."""
        self._codes.advance()
        self._scales.advance()

    def put(self, new: Tensor, position: Tensor) -> None:
        """Write `new` [B, H, 1, D] to the stored token at `position` int64 [1], which the host does not read."""
        stores = self._codes, self._scales
        codes, scales = (store.like.new_empty(*new.shape[:3], store.like.shape[3]) for store in stores)
        Codes(codes, scales, self._spread, self._centre).encode(new)
        for store, row in zip(stores, (codes, scales), strict=True):
            store.put(row, position)

    def part(self, start: int, stop: int) -> Tensor:
        """Tokens [start, stop), [B, H, stop - start, D]."""
        return self._decode(start, stop, self.like.new_empty(*self.like.shape[:2], stop - start, self.like.shape[3]))

    def whole(self, length: int, scratch: Buffer) -> Tensor:
        """Dequantise the first `length` tokens into `scratch`, and return its data [B, H, >= length, D]."""
        scratch.grow(length, self.like)
        self._decode(0, length, scratch.data[:, :, :length])
        return scratch.data

    def gather(self, blocks: Tensor, block_k: int) -> Tensor:
        """Tokens of the key blocks int64 [B, S, K]: [B, S, K * block_k, D]. Set s is of head s * H // S."""
        codes, scales = (gather_blocks(stored, blocks, block_k) for stored in self.raw[:2])
        owner = torch.arange(blocks.shape[1], device=codes.device) * self.like.shape[1] // blocks.shape[1]
        out = self.like.new_empty(codes.shape)
        return Codes(codes, scales, self._spread[:, owner], self._centre[:, owner]).decode(out)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        self._codes.truncate(length)
        self._scales.truncate(length)

    def export(self, start: int, stop: int) -> dict[str, Tensor]:
        """Views of tokens [start, stop) as they are stored; the calibration comes with the first token."""
        codes, scales, spread, centre = self.raw
        shared = {} if start else {".spread": spread, ".centre": centre}
        return {".codes": codes[:, :, start:stop], ".scales": scales[:, :, start:stop]} | shared

    def restore(self, tokens: dict[str, Tensor]) -> None:
        """Append tokens as `export` returned them."""
        if self.length == 0:
            self._spread, self._centre = tokens[".spread"], tokens[".centre"]
        self._codes.append(tokens[".codes"])
        self._scales.append(tokens[".scales"])

    def _calibrate(self, first: Tensor, dtype: torch.dtype) -> None:
        """Calibrate: median and spread of the first tokens [B, H, T, D]."""
        centre = first.median(2, keepdim=True).values.to(dtype)
        spread = (first - centre.float()).abs().mean(2, keepdim=True)
        # A dimension that hardly varies so far may vary later; with a tiny spread it would set the scale of all.
        spread = torch.maximum(spread, spread.mean(3, keepdim=True) / 4).to(dtype)
        self._spread, self._centre = spread.masked_fill_(spread == 0, 1), centre

    def _decode(self, start: int, stop: int, out: Tensor) -> Tensor:
        codes, scales, spread, centre = self.raw
        return Codes(codes[:, :, start:stop], scales[:, :, start:stop], spread, centre).decode(out)


Stored = Buffer | QuantizedBuffer


def _pieces(tokens: Tensor) -> list[tuple[int, int]]:
    """[begin, stop) of the pieces of tokens [..., T, D] that are computed one after the other."""
    length, dim = tokens.shape[-2:]
    together = max(1, PIECE // (tokens.shape[:-2].numel() * dim))
    return [(begin, min(begin + together, length)) for begin in range(0, length, together)]
