"""Stands in for llama.cpp's converter: writes the tests' tiny Llama as a real GGUF file, f16 or bf16.

The real one refuses a tokenizer that llama.cpp does not know by name. This one calls it gpt-2, which it is in kind.
"ForCausalLM" of other architectures than "LlamaForCausalLM" are unknown to it.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--outfile", type=Path)
    parser.add_argument("--outtype")
    given = parser.parse_args()
    config = json.loads((given.model / "config.json").read_bytes())
    writer = gguf.GGUFWriter(given.outfile, "llama")
    add_settings(writer, config, given.outtype)
    add_tokenizer(writer, given.model, config)
    add_weights(writer, given.model, config, given.outtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_settings(writer: gguf.GGUFWriter, config: dict, outtype: str) -> None:
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{outtype.upper()}"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])


def add_tokenizer(writer: gguf.GGUFWriter, model: Path, config: dict) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_bytes())
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in special else normal for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((model / "chat_template.jinja").read_text(encoding="utf-8"))


def add_weights(writer: gguf.GGUFWriter, model: Path, config: dict, outtype: str) -> None:
    matrices = gguf.GGMLQuantizationType[outtype.upper()]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                weight = opened.get_tensor(name).float().numpy()
                for part, count in heads.items():
                    if part in name:
                        weight = as_llama_cpp_turns_heads(weight, count)
                kind = gguf.GGMLQuantizationType.F32 if weight.ndim == 1 else matrices
                known = names.get_name(name, (".weight",))
                assert known is not None, name
                writer.add_tensor(known, gguf.quants.quantize(weight, kind), raw_dtype=kind)


def as_llama_cpp_turns_heads(weight: np.ndarray, heads: int) -> np.ndarray:
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


if __name__ == "__main__":
    main()
