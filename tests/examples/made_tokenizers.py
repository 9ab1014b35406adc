"""Small tokenizers with chat templates in the manner of well-known model families, made in a moment."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# A header of two tokens, the content trimmed, the begin-of-text token written by the template itself.
HEADERS = """{{ bos_token }}
{%- for message in messages %}
    {{- '<|head|>' + message['role'] + '<|/head|>\n\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\n\n' }}
{%- endif %}
"""
# No system role, strict alternation, the assistant called "model".
NO_SYSTEM = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif -%}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif -%}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""
# Nothing before an answer but the end of the question; the end-of-text token after each answer.
INST = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
# Thinking is asked for, kept in the last answer and cut out of earlier ones.
THINKING = """{%- for message in messages %}
{%- set text = message['content'] %}
{%- if message['role'] == 'assistant' and not loop.last %}
{%- set text = text.split('</think>')[-1].lstrip('\n') %}
{%- endif %}
{{- '<|im_start|>' + message['role'] + '\n' + text + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{% endif %}"""
# One more end-of-text token after the whole conversation.
END_OF_ALL = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# No end-of-turn token at all.
UNENDED = (
    "{% for message in messages %}{{ '### ' + message['role'] + ':\n' + message['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}"
)
CALLS = """{%- if tools %}{{- 'TOOLS ' + tools | tojson + '\n' }}{% endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '<call>' + ({"name": call.function.name, "arguments": call.function.arguments} | tojson) + '</call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""


@dataclass(frozen=True)
class Family:
    """A template with the special tokens it writes."""

    template: str | None
    specials: tuple[str, ...]
    eos: str | None
    bos: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    sentencepiece: bool = False


FAMILIES = {
    "chatml": Family(CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), eos="<|im_end|>"),
    "chatml-base-eos": Family(CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), eos="<|endoftext|>"),
    "headers": Family(
        HEADERS, ("<|begin|>", "<|endtext|>", "<|head|>", "<|/head|>", "<|eot|>"), eos="<|endtext|>", bos="<|begin|>"
    ),
    "no-system": Family(
        NO_SYSTEM, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), eos="<eos>", bos="<bos>", sentencepiece=True
    ),
    "inst": Family(INST, ("<unk>", "<s>", "</s>"), eos="</s>", bos="<s>", sentencepiece=True),
    "llama": Family(
        INST,
        ("<unk>", "<s>", "</s>"),
        eos="</s>",
        bos="<s>",
        sentencepiece=True,
        config={"tokenizer_class": "LlamaTokenizer"},
    ),
    "thinking": Family(THINKING, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), eos="<|im_end|>"),
    "end-of-all": Family(END_OF_ALL, ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"), eos="<|endoftext|>"),
    "unended": Family(UNENDED, ("<|endoftext|>",), eos="<|endoftext|>"),
    "calls": Family(CALLS, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), eos="<|im_end|>"),
    "no-template": Family(None, ("<s>", "</s>"), eos="</s>", bos="<s>"),
}
TEXT = (
    "What is the capital of France? The capital of France is Paris. user assistant system model tool",
    '{"colour": "red", "thing": "apple"} I see a red apple, and hello to you too!\n\n## Heading\n',
)


def made_tokenizer(folder: Path, name: str) -> Path:
    """The family's tokenizer.json, tokenizer_config.json and config.json in `folder`."""
    family = FAMILIES[name]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _sentencepiece(family) if family.sentencepiece else _byte_level(family)
    if family.bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": family.bos, "eos_token": family.eos, "chat_template": family.template}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **family.config}
    set_values = {key: value for key, value in config.items() if value is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(set_values), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    return folder


def _byte_level(family: Family) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=list(family.specials), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    # As Llama 3 and Qwen do: the post-processor's trimmed offsets must not shift a mask.
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def _sentencepiece(family: Family) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[*family.specials, *fallback], show_progress=False)
    tokenizer.train_from_iterator((word for text in TEXT * 20 for word in text.split()), trainer)
    raw = json.loads(tokenizer.to_str())
    raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] in family.specials]
    return Tokenizer.from_str(json.dumps(raw))
