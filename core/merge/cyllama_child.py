"""The only code that loads llama.cpp's library: a process of its own, since that library can crash.

python -m faion_finetuner.core.merge.cyllama_child quantize SOURCE TARGET q4_k_m
python -m faion_finetuner.core.merge.cyllama_child ask MODEL QUESTIONS.json ANSWERS.json
"""

import json
import sys
from pathlib import Path
from typing import Any

FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_k_m": 15, "q5_k_m": 17}  # enum llama_ftype in llama.h


def quantize(source: str, target: str, quantization: str) -> None:
    """Write `source` again, smaller."""
    from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize

    parameters = LlamaModelQuantizeParams()
    parameters.ftype = FILE_TYPES[quantization]
    model_quantize(source, target, parameters)


def ask(model: str, questions: str, answers: str) -> None:
    """Answer [[prompt, answer, max_tokens], ...] greedily, and say how much of the given answer it would choose itself.

    Nothing is added to a prompt; special tokens written in it count.
    """
    from cyllama import LLM, GenerationConfig

    records = []
    with LLM(model) as llm:
        for prompt, answer, max_tokens in json.loads(Path(questions).read_text(encoding="utf-8")):
            config = GenerationConfig(
                temperature=0.0, repeat_penalty=1.0, max_tokens=max_tokens, add_bos=False, parse_special=True
            )
            ids = list(llm.vocab.tokenize(prompt, add_special=False, parse_special=True))
            given = list(llm.vocab.tokenize(answer, add_special=False, parse_special=False))
            text, followed = str(llm(prompt, config)), followed_share(llm.model, ids, given)
            records.append({"text": text, "prompt_ids": ids, "followed": followed})
    Path(answers).write_text(json.dumps(records), encoding="utf-8")


def followed_share(model: Any, prompt: list[int], answer: list[int]) -> float | None:
    """Share of the answer's tokens that are the likeliest after what stands before each; None for an empty answer."""
    from cyllama.llama import llama_cpp

    if not answer:
        return None
    parameters = llama_cpp.LlamaContextParams()
    parameters.n_ctx = parameters.n_batch = len(prompt) + len(answer)
    context = llama_cpp.LlamaContext(model, parameters)
    sampler = llama_cpp.LlamaSampler(llama_cpp.LlamaSamplerChainParams())
    sampler.add_greedy()
    context.decode(llama_cpp.llama_batch_get_one(prompt, 0))
    same = 0
    for place, token in enumerate(answer):
        same += sampler.sample(context, -1) == token
        context.decode(llama_cpp.llama_batch_get_one([token], len(prompt) + place))
    return same / len(answer)


if __name__ == "__main__":
    {"quantize": quantize, "ask": ask}[sys.argv[1]](*sys.argv[2:])
