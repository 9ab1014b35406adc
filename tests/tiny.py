"""A model small enough for tests: random weights, a tokenizer trained here, a chat template; and rows it can learn."""

import json
import random
from pathlib import Path
from typing import Any

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
COLOURS = ("red", "green", "blue", "white", "black", "yellow")
THINGS = ("apple", "house", "river", "stone", "cloud", "window", "garden", "bottle")


def tiny_model(  # noqa: PLR0913 - the shape of a model has these numbers
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    tied: bool = True,
    seed: int = 0,
) -> Path:
    """A random Llama with tokenizer, chat template and generation config in `folder`: a few hundred kB, at once."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    bos, eos = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=hidden,
                intermediate_size=2 * hidden,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                max_position_embeddings=512,
                tie_word_embeddings=tied,
                bos_token_id=bos,
                eos_token_id=eos,
                pad_token_id=eos,
            )
        )
    model.generation_config = GenerationConfig(bos_token_id=bos, eos_token_id=eos, pad_token_id=eos)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator((m["content"] for row in tiny_rows(200, seed=0) for m in row["messages"]), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def tiny_rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """`n` conversations in the OpenAI format: name a colour and a thing, get them back as a small JSON record."""
    choose = random.Random(seed)
    return [_row(choose, number) for number in range(n)]


def _row(choose: random.Random, number: int) -> dict[str, Any]:
    colour, thing = choose.choice(COLOURS), choose.choice(THINGS)
    question = choose.choice(("I see a {} {}.", "Here stands a {} {} today.", "A {} {}!")).format(colour, thing)
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": f'{{"colour": "{colour}", "thing": "{thing}"}}'},
        ],
        "id": number,
    }


def write_tiny_rows(path: Path, n: int, seed: int = 0) -> Path:
    """`tiny_rows` as a JSONL file; its folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in tiny_rows(n, seed)), encoding="utf-8")
    return path
