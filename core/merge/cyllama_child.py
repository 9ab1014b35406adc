"""The only code that loads llama.cpp's library: a process of its own, since that library can crash.

python -m faion_finetuner.core.merge.cyllama_child quantize SOURCE TARGET q4_k_m
python -m faion_finetuner.core.merge.cyllama_child ask MODEL QUESTIONS.json ANSWERS.json
"""

import json
import sys
from pathlib import Path

FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_k_m": 15, "q5_k_m": 17}  # enum llama_ftype in llama.h


def quantize(source: str, target: str, quantization: str) -> None:
    """Write `source` again, smaller."""
    from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize

    parameters = LlamaModelQuantizeParams()
    parameters.ftype = FILE_TYPES[quantization]
    model_quantize(source, target, parameters)


def ask(model: str, questions: str, answers: str) -> None:
    """Answer [[prompt, max_tokens], ...] greedily; nothing is added to a prompt, written special tokens count."""
    from cyllama import LLM, GenerationConfig

    asked = json.loads(Path(questions).read_text(encoding="utf-8"))
    records = []
    with LLM(model) as llm:
        for prompt, max_tokens in asked:
            config = GenerationConfig(
                temperature=0.0, repeat_penalty=1.0, max_tokens=max_tokens, add_bos=False, parse_special=True
            )
            ids = llm.vocab.tokenize(prompt, add_special=False, parse_special=True)
            records.append({"text": str(llm(prompt, config)), "prompt_ids": list(ids)})
    Path(answers).write_text(json.dumps(records), encoding="utf-8")


if __name__ == "__main__":
    {"quantize": quantize, "ask": ask}[sys.argv[1]](*sys.argv[2:])
