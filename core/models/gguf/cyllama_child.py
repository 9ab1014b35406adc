"""The only code that loads llama.cpp's library through cyllama: a process of its own, since that library can crash.

python -m faion_finetuner.core.models.gguf.cyllama_child quantize SOURCE TARGET FILE_TYPE
python -m faion_finetuner.core.models.gguf.cyllama_child ACTION MODEL QUESTIONS.json ANSWERS.jsonl

with one of the actions ask, answer, score and tokenize; each writes its answers as lines of JSON.
"""

import json
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AT_ONCE = 512  # tokens through the model; the logits of a large vocabulary take some 300 MB
SEQUENCES = 8  # answers at once: a step costs hardly more than one answer's
IN_MIND = 16_384  # tokens of all answers together: 2 GB with a model of 8 billion weights


def quantize(source: str, target: str, file_type: str) -> None:
    """Write `source` again, smaller; the type is a number of llama.h's llama_ftype."""
    from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize

    parameters = LlamaModelQuantizeParams()
    parameters.ftype = int(file_type)
    model_quantize(source, target, parameters)


def ask(model: Any, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What `answer` says to the prompts, in their order, and `score` to the texts [token ids, place of the answer]."""
    said = sorted(answer(model, asked), key=lambda one: one["index"]) if asked["prompts"] else []
    scored = list(score(model, asked["texts"])) if asked["texts"] else []
    yield {"answers": said, "scored": scored}


def score(model: Any, texts: list[tuple[list[int], int]]) -> Iterator[dict[str, Any]]:
    """For each token of a text's answer: its loss in nats, and which token would have been the likeliest there."""
    import numpy as np

    context, batch = _context(model, max(len(ids) for ids, _ in texts), 1)
    for index, (ids, answer_at) in enumerate(texts):
        context.kv_cache_clear()
        losses, likeliest = [], []
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            # a token is predicted at the place before it
            places = range(max(start, answer_at - 1), min(start + len(part), len(ids) - 1))
            _read(context, batch, 0, part, start, places)
            for place in places:
                logits = np.asarray(context.get_logits_ith(place - start), dtype=np.float64)
                highest = logits.max()
                losses.append(float(highest + np.log(np.exp(logits - highest).sum()) - logits[ids[place + 1]]))
                likeliest.append(int(logits.argmax()))
        yield {"index": index, "losses": losses, "likeliest": likeliest}


def tokenize(model: Any, asked: dict[str, Any]) -> Iterator[list[int]]:
    """The tokens of each text; with add_special, the begin token is put first where the file asks for that."""
    vocabulary = model.get_vocab()
    for text in asked["texts"]:
        yield list(vocabulary.tokenize(text, add_special=asked["add_special"], parse_special=True))


@dataclass(slots=True)
class _Answer:
    """One that is being written."""

    index: int
    place: int
    """Of the next token."""
    next: int
    """The next token, chosen and not yet read."""
    ids: list[int] = field(default_factory=list)


def answer(model: Any, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Answer each prompt greedily, several at once; in the order in which they end.

    Answers are token ids: cyllama's own texts lose characters that are split over several tokens. Nothing is added to a
    prompt; special tokens written in it count.
    """
    from cyllama.llama import llama_cpp

    vocabulary, limit = model.get_vocab(), asked["max_tokens"]
    prompts = [vocabulary.tokenize(prompt, add_special=False, parse_special=True) for prompt in asked["prompts"]]
    tokens = max(map(len, prompts)) + limit
    sequences = max(1, min(SEQUENCES, len(prompts), IN_MIND // tokens))
    context, batch = _context(model, tokens, sequences)
    greedy = llama_cpp.LlamaSampler(llama_cpp.LlamaSamplerChainParams())
    greedy.add_greedy()
    waiting, free, writing = deque(enumerate(prompts)), list(range(sequences)), dict[int, _Answer]()
    while waiting or writing:
        while waiting and free:
            index, ids = waiting.popleft()
            sequence = free.pop()
            context.memory_seq_rm(sequence, -1, -1)
            for start in range(0, len(ids), AT_ONCE):
                part = ids[start : start + AT_ONCE]
                _read(context, batch, sequence, part, start, range(len(ids) - 1, start + len(part)))
            writing[sequence] = _Answer(index, len(ids), greedy.sample(context, batch.n_tokens - 1))
        for sequence, one in list(writing.items()):
            stopped = vocabulary.is_eog(one.next)
            if not stopped:
                one.ids.append(one.next)
            if stopped or len(one.ids) == limit:
                yield {"index": one.index, "prompt_ids": prompts[one.index], "ids": one.ids, "stopped": stopped}
                del writing[sequence]
                free.append(sequence)
        if writing:
            batch.clear()
            for sequence, one in writing.items():
                batch.add(one.next, one.place, [sequence], True)
                one.place += 1
            context.decode(batch)
            for number, one in enumerate(writing.values()):
                one.next = greedy.sample(context, number)


def _read(context: Any, batch: Any, sequence: int, ids: Sequence[int], start: int, told: range) -> None:
    """Let the model read a part of a sequence, and keep the logits at the places in `told`."""
    batch.clear()
    for place, token in enumerate(ids, start):
        batch.add(token, place, [sequence], place in told)
    context.decode(batch)


def _context(model: Any, tokens: int, sequences: int) -> tuple[Any, Any]:
    """What a model keeps in mind, with room for so many tokens of each sequence; and what it reads at once."""
    from cyllama.llama import llama_cpp

    parameters = llama_cpp.LlamaContextParams()
    parameters.n_ctx = tokens * sequences
    parameters.n_batch = parameters.n_ubatch = AT_ONCE
    parameters.n_seq_max = sequences
    context = llama_cpp.LlamaContext(model, parameters, verbose=False)
    return context, llama_cpp.LlamaBatch(n_tokens=AT_ONCE, embd=0, n_seq_max=sequences)


def _model(path: str) -> Any:
    from cyllama.llama.llama_cpp import LlamaModel

    class Model(LlamaModel):
        """The wheel's own, with the size that its reading of logits asks it for."""

        @property
        def n_vocab(self) -> int:
            return self.get_vocab().n_vocab

    return Model(path)


def main(action: str, *arguments: str) -> None:
    """Do one thing."""
    if action == "quantize":
        quantize(*arguments)
        return
    file, questions, answers = arguments
    model = _model(file)  # held to the end: a vocabulary does not keep its model alive
    asked = json.loads(Path(questions).read_text(encoding="utf-8"))
    with Path(answers).open("w", encoding="utf-8", buffering=1) as lines:
        for reply in {"ask": ask, "answer": answer, "score": score, "tokenize": tokenize}[action](model, asked):
            lines.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
