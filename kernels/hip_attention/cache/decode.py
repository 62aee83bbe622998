"""How one layer decodes: what a token attends to, and which tokens share a selection of keys."""

from typing import TYPE_CHECKING, Literal

from torch import Tensor

from hip_attention.backend import uses_triton
from hip_attention.cache.key_index import KeyIndex
from hip_attention.cache.key_values import KeyValues
from hip_attention.cache.step import DeviceStep
from hip_attention.config import HipConfig
from hip_attention.plan import Slab, decoded_packed, decoded_sparsely
from hip_attention.rope import Rope
from hip_attention.torch_backend.select import select
from hip_attention.torch_backend.summaries import KeySummaries
from hip_attention.torch_backend.working_set import WorkingSet

if TYPE_CHECKING:
    from hip_attention.triton_backend.layer import LayerDecode, SharedBuffers


class Decode:
    """Attention of decoded tokens, one at a time; `refresh_interval` consecutive ones share a selection of keys.

    `config` is that of the layer, and `config.of_decode` is used. `shared` buffers are those of all layers.
    """

    def __init__(
        self, config: HipConfig, stored: KeyValues, index: KeyIndex, rope: Rope | None, shared: "SharedBuffers"
    ) -> None:
        self.working_set: WorkingSet | None = None
        self._stored = stored
        self._index = index
        self._rope = rope
        self._shared = shared
        self._layer: LayerDecode | None = None
        self._steps = 0  # tokens decoded since the last prefill, rewind or first packed one
        self._packed = False  # whether the current selection is for packed positions
        self.config = config.of_decode

    def reset(self) -> None:
        """Let the next token select keys again."""
        self.working_set, self._steps = None, 0

    @property
    def stage(self) -> Literal["short", "sparse", "packed"]:
        """How the newest token attends: to everything, or sparsely at true positions or at packed ones."""
        position = self._stored.length - 1
        if decoded_packed(position, self.config):
            return "packed"
        return "sparse" if decoded_sparsely(position, self.config) else "short"

    def count(self) -> bool:
        """Count the newest token, for a `step`. Returns whether it selects keys again."""
        stage = self.stage
        return stage == "short" or self._age(stage == "packed") == 0

    def sparse(self, query: Tensor, scale: float, packed: bool) -> Tensor:
        """Attention of query [B, Hq, 1, D] at true or `packed` positions."""
        age, stored = self._age(packed), self._stored
        if age == 0:
            self._index.update_for(stored.length - 1)
        if uses_triton(self.config, query.device):
            return self._with_triton(query, scale, DeviceStep.of(stored.length, age == 0, query.device), packed)
        if self.working_set is None:
            self.working_set = WorkingSet(self.config, self._rope, packed)
        if age == 0:
            self.working_set.refresh(stored, self._select(query), query.shape[1])
        else:
            self.working_set.append(stored)
        return self.working_set.attend(query, scale)

    def step(self, query: Tensor, scale: float, step: DeviceStep, dense: bool, sliding_window: int | None) -> Tensor:
        """Attention of query [B, Hq, 1, D], as `LayerCache.attend` computes it, without waiting for the device.

        Which kernels it starts depends on `stage` and `step.refresh`, not on the length of the text.
        """
        stage = self.stage
        if sliding_window is not None or stage == "short" or (dense and stage == "sparse"):
            return self._on_device().recent(query, self._stored, step, scale, sliding_window)
        if step.refresh:
            self._index.update_for(self._stored.length - 1)
        return self._with_triton(query, scale, step, packed=stage == "packed")

    def _age(self, packed: bool) -> int:
        """Count a decoded token; returns how many tokens before it used its selection."""
        if packed != self._packed:
            self._packed = packed
            self.reset()
        age = self._steps % self.config.refresh_interval
        self._steps += 1
        return age

    def _select(self, query: Tensor) -> Tensor | None:
        """Key blocks int64 [B, Hq, K] for query [B, Hq, 1, D], ascending."""
        config, index = self.config, self._index
        if not config.top_k:
            return None
        key = index.keys() if config.reads_keys else None
        assert isinstance(index.summaries, KeySummaries)
        newest = Slab(0, self._stored.length - 1, 1, 1)
        return select(index.query(query), newest, config, index.summaries, key)[:, :, 0]

    def _with_triton(self, query: Tensor, scale: float, step: DeviceStep, packed: bool) -> Tensor:
        return self._on_device().sparse(query, self._stored, step, scale, self._index, packed)

    def _on_device(self) -> "LayerDecode":
        from hip_attention.triton_backend.layer import LayerDecode

        if self._layer is None:
            self._layer = LayerDecode(self.config, self._rope, self._shared)
        return self._layer
