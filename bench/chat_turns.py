"""A conversation about a long document: the time to the first token of every turn, and what is read again.

    OMP_NUM_THREADS=2 python bench/chat_turns.py middlemarch.txt --context 30000 --turns 20

Tokens are counted where they go into the model. Read again is what goes in beyond the documents, the questions and the
answers, each once. The load average says whether the machine was busy with something else.
"""

import argparse
import os
import time
from pathlib import Path

from common import endless, load, save, tokens
from torch import Tensor

from hipcli.cli.options import ATTENTION_DEFAULTS
from hipcli.engine.conversation import Conversation
from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, Token
from hipcli.models.resolve import resolve, shape
from hipcli.planning.positions import place
from hipcli.planning.room import room_for
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder

_QUESTIONS = (
    "Who is Dorothea?", "What does she want?", "Who is her sister?", "Where do they live?", "Who is Mr. Casaubon?",
    "What is he writing?", "What does Sir James think of that?", "Who is Mr. Brooke?", "Why does he travel?",
    "What is said about the cottages?",
)  # fmt: skip
_UNASKED = frozenset({"top_k", "window", "refresh_interval"})


def count_tokens(model) -> list[int]:
    """The number of tokens of every forward pass from now on."""
    counts: list[int] = []
    hidden = model.hidden

    def watched(ids: Tensor, *arguments: object) -> Tensor:
        counts.append(len(ids))
        return hidden(ids, *arguments)

    model.hidden = watched  # Decoder.next_logits goes through it, too
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("--context", type=int, default=30_000, help="tokens of the document to read")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--answer", type=int, default=64, help="tokens of every answer")
    parser.add_argument("--model")
    options = parser.parse_args()
    loaded, tokenizer = load(options.model)
    prompt = templates.load("ask", {})
    encoder = PromptEncoder(tokenizer, prompt.system())
    prefix = encoder.prefix(tokenizer.decode(tokens(tokenizer, options.document, options.context)))
    sizes = shape(resolve(options.model, print))
    placing = (ATTENTION_DEFAULTS, "auto", sizes, _UNASKED)
    capacity = len(prefix) + room_for(len(prefix), options.answer, *placing)
    config, yarn = place(ATTENTION_DEFAULTS, "auto", capacity, sizes, _UNASKED)
    engine = Engine(endless(loaded), tokenizer, config, capacity=capacity, yarn=yarn)
    counts = count_tokens(loaded.model)

    def encode(question: str, follows: bool) -> list[int]:
        text = prompt.question((), question)
        return encoder.follow_up(text) if follows else encoder.suffix(text)

    conversation = Conversation(engine, prefix, capacity, encode)
    begin = time.perf_counter()
    for _ in conversation.begin():
        pass
    read_s = time.perf_counter() - begin
    print(f"{len(prefix)} tokens read in {read_s:.1f} s", flush=True)
    rows = []
    for number in range(options.turns):
        begin, first = time.perf_counter(), 0.0
        for event in conversation.ask(_QUESTIONS[number % len(_QUESTIONS)], options.answer):
            if isinstance(event, Token) and not first:
                first = time.perf_counter() - begin
            if isinstance(event, Done):
                prefill, decode = event.prefill_s, event.completion_tokens / event.decode_s
        again = sum(counts) - engine.length
        rows.append({
            "turn": number + 1, "length": len(conversation.ids), "first_text_s": round(first, 3),
            "first_token_s": round(prefill, 3), "tokens_per_s": round(decode, 1), "read_again": again,
            "load_average": round(os.getloadavg()[0], 1),
        })  # fmt: skip
        print(rows[-1], flush=True)
    # Nothing was truncated, so each token in the cache went in once, unless more went in than it holds.
    assert len(conversation.ids) - 1 <= engine.length <= len(conversation.ids)
    result = {"model": options.model, "context": len(prefix), "read_s": round(read_s, 1), "turns": rows}
    save(f"chat_turns_{options.context}", result)


if __name__ == "__main__":
    main()
