"""The built-in model with an adapter, through llama.cpp's own converter, to every format."""

import os
from pathlib import Path

import pytest
from faion_finetuner.core.merge.report import report
from faion_finetuner.core.models.source import local_path, resolve_model
from faion_finetuner.core.settings import CACHE, Settings

from .support import make_adapter, merge, proof_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft
]

USERS_CACHE = os.environ.get(CACHE, "")  # read before the fixture points it elsewhere


@pytest.fixture
def real(settings, monkeypatch) -> Settings:
    """The user's own cache where there is one, so that the model is not converted again."""
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    if USERS_CACHE:
        monkeypatch.setenv(CACHE, USERS_CACHE)
    return Settings.from_environment()


def test_built_in_model_ships_in_every_format(real):
    name = "smollm2-135m-instruct"
    base = local_path(resolve_model(name, real), real)
    adapter = make_adapter(base, real.roots[0] / "adapter", strength=0.01, target_modules="all-linear")
    formats = ("f16", "q8_0", "q5_k_m", "q4_k_m")
    result = merge(real, model_name=name, adapter_path=adapter, output_dir="out", gguf=formats)
    assert proof_of(result).status == "pass"
    sizes = [export.bytes for export in result.exports]
    assert sizes == sorted(sizes, reverse=True)
    for export in result.exports:
        assert export.verification is not None
        assert export.verification.status == "pass"
        assert (export.verification.answer or "").strip().startswith("Paris")
    assert [check.name for check in result.checks if check.status == "warn"] == ["k_quant_rows"]
    assert "chatml" in next(check.details for check in result.checks if check.name == "modelfile_template")
    assert Path(real.roots[0] / "out" / "Modelfile").is_file()
    assert report(result).headline.endswith("4 GGUF files made.")
