"""The only code that loads llama.cpp's library through cyllama: a process of its own, since that library can crash.

python -m faion_finetuner.core.merge.cyllama_child quantize SOURCE TARGET FILE_TYPE
python -m faion_finetuner.core.merge.cyllama_child ask MODEL QUESTIONS.json ANSWERS.json
python -m faion_finetuner.core.merge.cyllama_child tokenize MODEL TEXTS.json IDS.json
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def quantize(source: str, target: str, file_type: str) -> None:
    """Write `source` again, smaller; the type is a number of llama.h's llama_ftype."""
    from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize

    parameters = LlamaModelQuantizeParams()
    parameters.ftype = int(file_type)
    model_quantize(source, target, parameters)


def ask(model: str, questions: str, answers: str) -> None:
    """Answer each [prompt, max_tokens] greedily, and say what it makes of each [token ids, place of the answer].

    Nothing is added to a prompt; special tokens written in it count.
    """
    from cyllama import LLM, GenerationConfig

    asked = json.loads(Path(questions).read_text(encoding="utf-8"))
    said, scored = [], []
    with LLM(model) as llm:
        for prompt, max_tokens in asked["questions"]:
            config = GenerationConfig(
                temperature=0.0, repeat_penalty=1.0, max_tokens=max_tokens, add_bos=False, parse_special=True
            )
            ids = list(llm.vocab.tokenize(prompt, add_special=False, parse_special=True))
            said.append({"text": str(llm(prompt, config)), "prompt_ids": ids})
    if asked["texts"]:
        loaded = _model(model)
        scored = [score(loaded, ids, answer_at) for ids, answer_at in asked["texts"]]
    Path(answers).write_text(json.dumps({"answers": said, "scored": scored}), encoding="utf-8")


def _model(path: str) -> Any:
    from cyllama.llama.llama_cpp import LlamaModel

    class Model(LlamaModel):
        """The wheel's own, with the size that its reading of logits asks it for."""

        @property
        def n_vocab(self) -> int:
            return self.get_vocab().n_vocab

    return Model(path)


def score(model: Any, ids: Sequence[int], answer_at: int) -> dict[str, list[float] | list[int]]:
    """For each token of the answer: its loss in nats, and which token would have been the likeliest there."""
    import numpy as np
    from cyllama.llama import llama_cpp

    parameters = llama_cpp.LlamaContextParams()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = len(ids)
    context = llama_cpp.LlamaContext(model, parameters, verbose=False)
    batch = llama_cpp.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
    places = range(answer_at - 1, len(ids) - 1)  # a token is predicted at the place before it
    for place, token in enumerate(ids):
        batch.add(token, place, [0], place in places)
    context.decode(batch)
    losses, likeliest = [], []
    for place in places:
        logits = np.asarray(context.get_logits_ith(place), dtype=np.float64)
        highest = logits.max()
        losses.append(float(highest + np.log(np.exp(logits - highest).sum()) - logits[ids[place + 1]]))
        likeliest.append(int(logits.argmax()))
    return {"losses": losses, "likeliest": likeliest}


def tokenize(model: str, texts: str, ids: str) -> None:
    """The tokens of each text; the begin token is put first where the file asks for that."""
    loaded = _model(model)
    vocabulary = loaded.get_vocab()
    found = [
        list(vocabulary.tokenize(text, add_special=True, parse_special=True))
        for text in json.loads(Path(texts).read_text(encoding="utf-8"))
    ]
    Path(ids).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    {"quantize": quantize, "ask": ask, "tokenize": tokenize}[sys.argv[1]](*sys.argv[2:])
