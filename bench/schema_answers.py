"""Whether answers follow their schema: many answers of a small model under a nested one.

    python bench/schema_answers.py [--model MODEL] [--count 200] [--unbounded] [--no-penalty] FILE...

Every file gives passages of 600 characters. Of each, ten questions are answered, half of them with the likeliest
tokens and half with drawn ones (temperature 1). Each answer is then read as strict JSON and checked by the package
jsonschema. --unbounded leaves out longest lengths of strings and lists, and bounds of numbers, so that an answer may
run on to its last token: what then is no JSON has to be said to be none.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from common import load, machine, save
from schema_libraries import NESTED

from hipcli.documents.document import Document, Page
from hipcli.engine.engine import Engine
from hipcli.engine.events import Done, Token
from hipcli.engine.repetition import Repetition
from hipcli.engine.sampling import Sampling
from hipcli.evaluation.specs import parse
from hipcli.prompt import templates
from hipcli.prompt.tokens import PromptEncoder
from hipcli.structured.grammar import Grammar
from hipcli.structured.schema import AnswerSchema

QUESTIONS = (
    "What is this, and who is in it?", "Who signed it?", "List the people.", "What kind of text is it?",
    "Who is the oldest?", "Fill in the form.", "What is its title?", "Is anybody younger than 30?",
    "Who wrote it, and to whom?", "What should be filed of it?",
)  # fmt: skip
UNBOUNDED = ("maxLength", "maxItems", "minimum", "maximum")
PASSAGE = 600  # characters


def unbounded(schema: Any) -> Any:
    """The schema without longest lengths and bounds."""
    if isinstance(schema, dict):
        return {key: unbounded(value) for key, value in schema.items() if key not in UNBOUNDED}
    return [unbounded(value) for value in schema] if isinstance(schema, list) else schema


def passages(files: list[Path], count: int) -> list[Document]:
    found = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        for start in range(0, len(text) - PASSAGE, PASSAGE):
            found.append(Document(f"{file.name}-{start}", "text", (Page(1, text[start : start + PASSAGE]),), ""))
    if len(found) < count:
        raise SystemExit(f"the files hold {len(found)} passages, not {count}")
    step = len(found) // count
    return found[::step][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--unbounded", action="store_true")
    parser.add_argument("--no-penalty", action="store_true", help="on repeated passages")
    options = parser.parse_args()
    schema = AnswerSchema(json.dumps(unbounded(NESTED) if options.unbounded else NESTED))
    loaded, tokenizer = load(options.model)
    grammar = Grammar(schema, tokenizer, loaded.stops)
    prompt = templates.load("ask", {}, schema=schema.text)
    encoder = PromptEncoder(tokenizer, prompt.system())
    repetition = Repetition(dry=0) if options.no_penalty else Repetition()
    answers = []
    for document in passages(options.files, -(-options.count // len(QUESTIONS))):
        engine = Engine(loaded, tokenizer, parse("hip").config, capacity=1024 + options.max_tokens, grammar=grammar)
        list(engine.read(encoder.prefix(prompt.documents([document]))))
        for number, question in enumerate(QUESTIONS):
            engine.sampling = Sampling(number % 2, seed=number, repetition=repetition)
            suffix = encoder.suffix(prompt.question([document], question))
            events = list(engine.answer(suffix, options.max_tokens))
            text = "".join(event.text for event in events if isinstance(event, Token))
            (done,) = [event for event in events if isinstance(event, Done)]
            try:
                schema.value(text)
                error = None
            except ValueError as reason:
                error = str(reason)
            answers.append({
                "document": document.path, "question": question, "text": text, "error": error, "fault": done.fault,
                "finish": done.finish_reason, "tokens": done.completion_tokens, "decode_s": done.decode_s,
            })  # fmt: skip
    rows = {
        "answers": len(answers),
        "valid": sum(each["error"] is None for each in answers),
        "ended by themselves": sum(each["finish"] == "stop" for each in answers),
        "said to be none": sum(each["fault"] is not None for each in answers),
        "not valid, and not said to be none": sum(bool(each["error"] and not each["fault"]) for each in answers),
        "tokens": round(statistics.mean(each["tokens"] for each in answers), 1),
        "ms a token": round(
            1e3 * sum(each["decode_s"] for each in answers) / sum(each["tokens"] for each in answers), 2
        ),
    }
    print(json.dumps(rows, indent=1))
    name = "schema_answers" + "_unbounded" * options.unbounded + "_no_penalty" * options.no_penalty
    save(name, {"rows": rows, "answers": answers})
    print(machine())


if __name__ == "__main__":
    main()
