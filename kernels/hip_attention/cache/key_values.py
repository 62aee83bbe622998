"""One layer's cached keys and values, and how attention reads them: in part or whole, before or after RoPE."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from hip_attention.cache.buffer import Buffer
from hip_attention.cache.int8 import QuantizedBuffer, Stored
from hip_attention.config import HipConfig
from hip_attention.plan import true_positions
from hip_attention.rope import Rope

if TYPE_CHECKING:
    from hip_attention.triton_backend.layer import SharedBuffers


@dataclass(frozen=True)
class Scratch:
    """Memory that layers may share, because only one of them attends at a time.

    `rotated` is for keys at true positions, `keys` and `values` are for those stored as int8, dequantised, and `decode`
    is for layers that select nothing.
    """

    rotated: Buffer
    keys: Buffer
    values: Buffer
    decode: "SharedBuffers" = field(default_factory=dict)

    @classmethod
    def of(cls, config: HipConfig, capacity: int) -> "Scratch":
        rotated = Buffer(true_positions(config, capacity), config.block_k)
        return cls(rotated, Buffer(capacity, config.block_k), Buffer(capacity, config.block_k))


class KeyValues:
    """Keys and values [B, Hkv, T, D] of one layer in preallocated memory, as `int8` or in the dtype that they have.

    With a `rope`, keys are stored before RoPE, which is applied when they are read; without one, it is applied already.
    """

    def __init__(
        self, config: HipConfig, capacity: int, rope: Rope | None, scratch: Scratch, int8: bool = False
    ) -> None:
        store = QuantizedBuffer if int8 else Buffer
        self.keys: Stored = store(capacity, config.block_k)
        self.values: Stored = store(capacity, config.block_k)
        self._config = config
        self._rope = rope
        self._scratch = scratch
        self._rotated: Buffer | None = None

    @property
    def length(self) -> int:
        """Number of stored tokens."""
        return self.keys.length

    @property
    def capacity(self) -> int:
        """Tokens there is memory for."""
        return self.keys.capacity

    @property
    def addresses(self) -> tuple[int, int]:
        """Addresses of keys and values; they change when memory grows."""
        return self.keys.address, self.values.address

    def append(self, key: Tensor, value: Tensor) -> None:
        """Store keys and values of the next tokens."""
        self.keys.append(key)
        self.values.append(value)

    def advance(self) -> None:
        """Count one more token, which `put` then writes."""
        self.keys.advance()
        self.values.advance()

    def put(self, key: Tensor, value: Tensor, position: Tensor) -> None:
        """Write the stored token at `position` int64 [1], which the host does not read."""
        self.keys.put(key, position)
        self.values.put(value, position)

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on."""
        for buffer in (self.keys, self.values, self._rotated):
            if buffer is not None:
                buffer.truncate(length)

    def export(self, start: int, stop: int) -> dict[str, Tensor]:
        """Named views of tokens [start, stop) as they are stored; most are [B, Hkv, stop - start, *]."""
        stored = {"key": self.keys.export(start, stop), "value": self.values.export(start, stop)}
        return {name + part: tensor for name, parts in stored.items() for part, tensor in parts.items()}

    def restore(self, tokens: dict[str, Tensor]) -> None:
        """Append tokens as `export` returned them."""
        for name, buffer in (("key", self.keys), ("value", self.values)):
            buffer.restore({part.removeprefix(name): x for part, x in tokens.items() if part.startswith(name)})

    def apply_rope(self, x: Tensor, start: int) -> Tensor:
        """x [B, H, T, D] rotated to positions from `start` on."""
        return x if self._rope is None else self._rope.apply(x, start)

    def positioned(self, start: int, stop: int) -> Tensor:
        """Keys [start, stop) rotated to their true positions."""
        return self.apply_rope(self.keys.part(start, stop), start)

    def whole_keys(self) -> Tensor:
        """Keys as they arrived [B, Hkv, >= length, D].

        They may be in `Scratch`, like the results of the methods below, and are valid until another layer attends.
        """
        return self.keys.whole(self.length, self._scratch.keys)

    def whole_values(self, length: int) -> Tensor:
        """Values [B, Hkv, >= length, D]."""
        return self.values.whole(length, self._scratch.values)

    def all_values(self, length: int) -> Tensor:
        """Values [B, Hkv, length, D]."""
        return self.whole_values(length)[:, :, :length]

    def all_keys(self, length: int) -> Tensor:
        """Keys at true positions [B, Hkv, >= length, D], `length` of them."""
        rotated = self._scratch.rotated
        keys = self.keys.whole(length, rotated)
        if self._rope is None:
            return keys
        rotated.grow(length, keys)
        self._rope.apply(keys[:, :, :length], 0, out=rotated.data[:, :, :length])
        return rotated.data

    def kept_keys(self, length: int) -> Tensor:
        """Keys at true positions [B, Hkv, length, D], kept for the next call, because dense layers read all of them.

        With int8 they are not kept: they would take more memory than int8 saves.
        """
        if self._rope is None or isinstance(self.keys, QuantizedBuffer):
            return self.all_keys(length)[:, :, :length]
        if self._rotated is None:
            self._rotated = Buffer(true_positions(self._config, self.keys.data.shape[2]))
        if self._rotated.length < length:
            self._rotated.append(self.positioned(self._rotated.length, length))
        return self._rotated.data[:, :, :length]

    def let_go(self) -> None:
        """Free what `kept_keys` kept: the layer attends sparsely from now on."""
        self._rotated = None
