"""Do the Triton kernels select as well as the torch backend on a real model's queries and keys?

python bench/attention_recall.py TEXT [TOKENS [MODEL]]; without a GPU set TRITON_INTERPRET=1.
"""

import sys
from pathlib import Path

import torch
from common import load, save, tokens
from hip_attention.cache.step import Step
from hip_attention.config import HipConfig
from hip_attention.plan import Slab
from hip_attention.torch_backend import select as torch_select
from hip_attention.torch_backend.dense import dense_attention
from hip_attention.torch_backend.summaries import KeySummaries
from hip_attention.triton_backend.select import select
from hip_attention.triton_backend.summaries import TreeSummaries
from torch import Tensor

from hipcli.models.language_model import LanguageModel

BLOCKS = 4


def capture(model: LanguageModel, ids: list[int]) -> list[tuple[Tensor, Tensor]]:
    """By layer, queries and keys [1, H, T, D], rotated, of dense attention. Layers of sliding windows are left out."""
    found: list[tuple[Tensor, Tensor]] = []

    def attention(query: Tensor, key: Tensor, value: Tensor, config: HipConfig, scale: float) -> Tensor:
        found.append((query, key))
        return dense_attention(query, key, value, scale)

    config = HipConfig(dense_layers=0, select_always=True)  # every layer asks for sparse attention
    cache = model.make_cache(config, len(ids), attention=attention)
    with torch.inference_mode():
        model.hidden(torch.tensor(ids, device=model.device), cache, Step(0, len(ids)))
    return found


def mass(query: Tensor, key: Tensor, chosen: Tensor, config: HipConfig) -> float:
    """Attention mass on the selected blocks, as a share of that on the best top_k searchable keys of every row."""
    length, group = key.shape[2], query.shape[1] // key.shape[1]
    shares = []
    for i in range(chosen.shape[2]):
        first = length - (chosen.shape[2] - i) * config.block_q
        rows = query[0, :, first : first + config.block_q]
        stop = first + config.block_q - config.window
        keys = key[0, :, config.sink : stop].repeat_interleave(group, 0)
        weights = (rows @ keys.transpose(1, 2) * query.shape[3] ** -0.5).softmax(2)
        best = weights.topk(config.top_k, 2).values.sum(2)
        blocks = torch.arange(config.sink, stop, device=key.device) // config.block_k
        seen = (blocks[None, :, None] == chosen[0, :, i, None].long()).any(2)
        shares.append(((weights * seen[:, None]).sum(2) / best).mean().item())
    return sum(shares) / len(shares)


def main(text: Path, count: int, name: str | None) -> None:
    loaded, tokenizer = load(name)
    config = HipConfig(top_k=512, min_context=0, selector="summary", block_q=64, backend="triton")
    count -= count % config.block_q
    states = capture(loaded.model, tokens(tokenizer, text, count))
    rows = []
    for layer in (len(states) // 3, 2 * len(states) // 3):
        query, key = (x.float() for x in states[layer])
        begin = count - BLOCKS * config.block_q
        tail = query[:, :, begin:].contiguous()
        flat, tree = KeySummaries(config.sink, config.block_k), TreeSummaries(config.sink, config.block_k)
        for summaries in (flat, tree):
            summaries.extend(key[:, :, config.sink :])
        slab = Slab(0, begin, config.block_q, BLOCKS)
        expected = torch_select.select(tail, slab, config, flat, None)
        found = select(tail, begin, BLOCKS, count, config, tree, None)
        same = (found[..., None].long() == expected[..., None, :]).any(-1).float().mean().item()
        row = {"layer": layer, "torch": mass(query, key, expected, config), "triton": mass(query, key, found, config)}
        rows.append({**row, "same_blocks": same})
        print(rows[-1], flush=True)
    save(
        "attention_recall",
        {
            "model": Path(name).name if name else "default",
            "text": text.name,
            "tokens": count,
            "top_k": config.top_k,
            "dtype": "float32",
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int((sys.argv[2:] or ["4096"])[0]), (sys.argv[3:] or [None])[0])
