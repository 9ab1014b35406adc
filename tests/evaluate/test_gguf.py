"""A GGUF file against its base: the real engine on a tiny model, beside the same model in transformers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import FinetunerError, MissingExtraError, ModelError
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.models.generate import generate
from faion_finetuner.core.models.gguf import cyllama, model
from faion_finetuner.core.models.gguf.engines import Text

from tests.evaluate.conftest import write_rows
from tests.evaluate.world import World, statuses
from tests.tiny import THINGS, tiny_model, tiny_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft 0.21 asks transformers 5 by the old name
)

CONVERTER = Path(__file__).parents[1] / "merge" / "llama_cpp" / "convert_hf_to_gguf.py"


def convert(folder: Path, target: Path) -> Path:
    command = [sys.executable, str(CONVERTER), str(folder), "--outfile", str(target), "--outtype", "f16"]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.fixture(scope="session")
def merged(base_folder: Path, adapter_folder: Path) -> Path:
    """The adapter's model as a folder."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = base_folder.parent / "merged-for-gguf"
    whole: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), str(adapter_folder))
    whole.merge_and_unload().half().save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gguf(merged: Path) -> Path:
    return convert(merged, merged.parent / "model-f16.gguf")


def answers(world: World) -> list[str]:
    lines = (world.output_dir / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["finetuned"] for line in lines]


def likelihoods(result: EvaluateResult) -> list[float]:
    found = (result.perplexity, result.loss, result.bits_per_byte, result.perplexity_all_tokens)
    return [one.finetuned for one in found if one is not None and one.finetuned is not None]


def test_a_file_is_measured_as_the_model_in_it_is(
    world: World, prepared: Path, base_folder: Path, merged: Path, gguf: Path
):
    arguments: dict[str, Any] = {"model_name": str(base_folder), "data_path": prepared}
    whole = world.run(finetuned_path=merged, **arguments)
    said = answers(world)
    result = world.run(finetuned_path=gguf, **arguments)
    assert len(likelihoods(result)) == 4
    assert likelihoods(result) == pytest.approx(likelihoods(whole), rel=2e-3)  # f16 against float32
    assert sum(a == b for a, b in zip(answers(world), said, strict=True)) >= 0.9 * len(said)
    assert [(row.metric, row.n) for row in result.scores] == [(row.metric, row.n) for row in whole.scores]
    assert result.generation_finetuned is not None
    assert whole.generation_finetuned is not None
    assert result.generation_finetuned.cut == pytest.approx(whole.generation_finetuned.cut, abs=2)
    right = [[row.finetuned for row in one.regression] for one in (result, whole)]
    assert right[0] == pytest.approx(right[1], abs=0.1)
    assert statuses(result)["same_prompts"] == "pass"
    assert result.breakdown is not None
    assert result.breakdown.training is not None
    assert "model-f16.gguf" in report(result).markdown


def test_rows_longer_than_the_window_and_than_a_part_are_predicted_once(
    world: World, base_folder: Path, merged: Path, gguf: Path
):
    rows = tiny_rows(10, seed=6)
    rows[3]["messages"][1]["content"] = "A blue stone. " * 150
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    arguments: dict[str, Any] = {"model_name": str(base_folder), "data_path": data, "metrics": ("perplexity",)}
    whole, result = (world.run(finetuned_path=path, **arguments) for path in (merged, gguf))
    assert whole.perplexity is not None
    assert result.perplexity is not None
    assert result.perplexity.tokens == whole.perplexity.tokens > 512
    assert likelihoods(result) == pytest.approx(likelihoods(whole), rel=2e-3)


def test_a_text_longer_than_what_is_read_at_once_stays_one_text(world: World, merged: Path, gguf: Path):
    import torch
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    tokenizer = ChatTokenizer.load(merged)
    text = "<|im_start|>user\n" + " ".join(f"{n} {thing}" for n in range(30) for thing in THINGS)
    ids = tokenizer.encode(text)
    assert len(ids) > 600
    asked = model.GgufModel(gguf, world.active())
    (losses,) = asked.losses([Text(tuple(ids), 1)], lambda _: None)
    with torch.inference_mode():
        expected = whole(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
    assert len(losses) == len(ids) - 1
    assert sum(losses) / len(losses) == pytest.approx(float(expected), rel=1e-3)
    (said,) = asked.answers([text], 4, lambda _: None)
    (ours,) = generate(whole, tokenizer, [text], max_new_tokens=4, batch_size=1)
    assert tokenizer.decode(said.ids) == ours.text
    assert (len(said.ids), said.stopped) == (ours.tokens, ours.stopped)


def test_a_file_that_cannot_be_loaded_is_refused_before_anything_is_measured(
    world: World, prepared: Path, base_folder: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("faion_finetuner.core.evaluate.contestants.load_base", None)
    broken = world.settings.roots[0] / "broken.gguf"
    arguments = {"model_name": str(base_folder), "finetuned_path": broken, "data_path": prepared}
    broken.write_bytes(b"GGUF, but no more")
    with pytest.raises(ModelError, match="no readable GGUF file"):
        world.run(**arguments)
    broken.write_bytes(gguf.read_bytes()[:-5_000])  # the header stands, weights are missing
    with pytest.raises(ModelError, match=r"broken.gguf") as refused:
        world.run(**arguments)
    assert "merge" in refused.value.next_step or "again" in refused.value.next_step


def test_a_crash_of_the_engine_is_an_answer(
    world: World, prepared: Path, base_folder: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
):
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    own = cyllama.cyllama_child
    monkeypatch.setattr(cyllama, "cyllama_child", lambda *a: crash if a[0] == "answer" else own(*a))
    with pytest.raises(ModelError, match="crashed with SIGSEGV") as refused:
        world.run(model_name=str(base_folder), finetuned_path=gguf, data_path=prepared)
    assert "merged folder" in refused.value.next_step


def test_without_the_engine_the_line_to_install_it_is_told(
    world: World, prepared: Path, base_folder: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model, "has_cyllama", lambda: False)
    with pytest.raises(MissingExtraError, match="cyllama") as refused:
        world.run(model_name=str(base_folder), finetuned_path=gguf, data_path=prepared)
    assert "pip install" in refused.value.next_step


def test_a_file_of_another_vocabulary_is_refused(world: World, prepared: Path, base_folder: Path, gguf: Path):
    other = tiny_model(base_folder.parent / "other-tokens")
    path = other / "tokenizer.json"
    tokens = json.loads(path.read_bytes())
    names = sorted(tokens["model"]["vocab"], key=tokens["model"]["vocab"].get)
    turned = {name: number for number, name in enumerate([*names[:3], *reversed(names[3:])])}
    path.write_text(json.dumps(tokens | {"model": tokens["model"] | {"vocab": turned}}), encoding="utf-8")
    with pytest.raises(ModelError, match="was not made from this base") as refused:
        world.run(model_name=str(other), finetuned_path=gguf, data_path=prepared)
    assert "model_name" in refused.value.next_step


def test_another_chat_template_in_the_file_is_warned_of(
    world: World, prepared: Path, adapter_folder: Path, base_folder: Path, gguf: Path
):
    other = tiny_model(base_folder.parent / "other-template")
    template = other / "chat_template.jinja"
    template.write_text("{{ '' }}" + template.read_text(encoding="utf-8"), encoding="utf-8")
    result = world.run(model_name=str(other), finetuned_path=gguf, data_path=prepared, limit=10)
    assert statuses(result)["chat_template"] == "warn"


def test_an_untrained_model_s_file_is_not_said_to_have_learned(world: World, prepared: Path, base_folder: Path):
    untrained = convert(base_folder, base_folder.parent / "untrained.gguf")
    result = world.run(model_name=str(base_folder), finetuned_path=untrained, data_path=prepared)
    assert statuses(result)["has_effect"] == "warn"
    assert result.verdict != "improved"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"benchmarks": ("hellaswag",)}, "lm-eval does not ask GGUF files"),
        ({"model_name": "base.gguf"}, "can only be the fine-tuned model"),
    ],
)
def test_what_a_file_cannot_be_asked_is_refused_with_a_next_step(
    world: World, prepared: Path, base_folder: Path, gguf: Path, change: dict[str, Any], says: str
):
    arguments = {
        "model_name": str(base_folder), "finetuned_path": gguf, "data_path": prepared, "output_dir": world.output_dir,
    } | change  # fmt: skip
    with pytest.raises(FinetunerError, match=says) as refused:
        resolve(EvaluateRequest(**arguments), world.settings)
    assert refused.value.next_step


def test_the_output_folder_of_merge_means_its_merged_model(
    world: World, prepared: Path, base_folder: Path, merged: Path
):
    out = world.settings.roots[0] / "merge-out"
    out.mkdir()
    (out / "merged").symlink_to(merged)
    request = EvaluateRequest(
        model_name=str(base_folder), finetuned_path=out, data_path=prepared, output_dir=world.output_dir
    )
    assert resolve(request, world.settings).finetuned_path == out / "merged"
