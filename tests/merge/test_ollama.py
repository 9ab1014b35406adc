"""A Modelfile's template is written only when it says what the model's own chat template says."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.merge.ollama import modelfile, modelfile_check, recognise, writes_tools

from ..tiny import tiny_model

LOOP = "{% for m in messages %}"
END = "{% endfor %}"
ASK = "{% if add_generation_prompt %}"

CHATML_WITH_DEFAULT = (
    LOOP + "{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are Zed.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n" + END + ASK + "<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}" + LOOP + "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    + END + ASK + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)  # fmt: skip
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + LOOP + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n"
    + END + ASK + "<start_of_turn>model\n{% endif %}"
)  # fmt: skip
GEMMA_WITH_SYSTEM = (
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set s = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ s if loop.first else '' }}{{ m.content }}"
    "<end_of_turn>\n" + END + ASK + "<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set s = messages[0].content + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set s = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}"
    "{% if m.role == 'user' %}[INST] {{ s if loop.last else '' }}{{ m.content }}[/INST]"
    "{% else %} {{ m.content }}</s>{% endif %}" + END
)
VICUNA = LOOP + "{{ m.role | upper }}: {{ m.content }}\n" + END + ASK + "ASSISTANT:{% endif %}"
ALMOST_CHATML = (
    LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }} <|im_end|>\n" + END + ASK + "<|im_start|>assistant\n{% endif %}"
)


def chat_with(tmp_path: Path, template: str) -> ChatTokenizer:
    folder = tiny_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return ChatTokenizer.load(folder)


@pytest.mark.parametrize(
    ("template", "family"),
    [
        (CHATML_WITH_DEFAULT, "chatml"),
        (LLAMA3, "llama3"),
        (GEMMA, "gemma"),
        (GEMMA_WITH_SYSTEM, "gemma"),
        (MISTRAL, "mistral"),
    ],
    ids=["chatml", "llama3", "gemma", "gemma_with_system", "mistral"],
)
def test_known_family_is_recognised_by_what_it_renders(tmp_path, template, family):
    found = recognise(chat_with(tmp_path, template))
    assert found is not None
    assert found.family.name == family


@pytest.mark.parametrize("template", [VICUNA, ALMOST_CHATML], ids=["vicuna", "one_space_more"])
def test_other_template_is_left_out_and_told(tmp_path, template):
    chat = chat_with(tmp_path, template)
    found = recognise(chat)
    assert found is None
    assert modelfile_check(found).status == "warn"
    assert "TEMPLATE" not in modelfile(Path("model-q8_0.gguf"), found, chat)


TOOLS = "{% if tools %}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{% endif %}"
CHATML = (
    LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n" + END + ASK + "<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize(("template", "status"), [(CHATML, "pass"), (TOOLS + CHATML, "warn")], ids=["plain", "tools"])
def test_tools_that_the_modelfile_cannot_write_are_told(tmp_path, template, status):
    chat = chat_with(tmp_path, template)
    check = modelfile_check(recognise(chat), writes_tools(chat))
    assert check.status == status
    assert ("Tools are unknown" in check.details) == (status == "warn")


def test_default_system_message_of_a_template_becomes_system(tmp_path):
    chat = chat_with(tmp_path, CHATML_WITH_DEFAULT)
    text = modelfile(Path("/far/model-q4_k_m.gguf"), recognise(chat), chat)
    assert text == (
        "FROM ./model-q4_k_m.gguf\n"
        'TEMPLATE """{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}'
        '<|im_start|>assistant\n"""\n'
        'SYSTEM """You are Zed."""\n'
        'PARAMETER stop "<|im_start|>"\n'
        'PARAMETER stop "<|im_end|>"\n'
    )


def test_model_without_template_stops_at_its_end_token(tmp_path):
    folder = tiny_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_bytes())
    assert "chat_template" not in config
    chat = ChatTokenizer.load(folder)
    assert 'PARAMETER stop "<|im_end|>"' in modelfile(Path("model-f16.gguf"), recognise(chat), chat)
