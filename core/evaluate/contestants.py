"""The two models that run here, one after the other, with as little loading as possible."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ..models.load import attach_adapter, load_base
from ..settings import Settings
from .request import is_adapter

Side = Literal["base", "finetuned"]
Measure = Callable[[Side, Any], None]


def visit(base_path: Path, finetuned_path: Path | None, settings: Settings, measure: Measure) -> None:
    """Call `measure` with the base model, then with the fine-tuned one unless there is none.

    An adapter is switched off and on again on one loaded model; a whole fine-tuned model is loaded after the base
    was let go of, so that there is never more than one in memory.
    """
    model = load_base(base_path, settings=settings)
    if finetuned_path is not None and is_adapter(finetuned_path):
        adapted = attach_adapter(model, finetuned_path)
        with adapted.disable_adapter():
            measure("base", adapted)
        measure("finetuned", adapted)
        return
    measure("base", model)
    if finetuned_path is not None:
        del model
        _release()
        measure("finetuned", load_base(finetuned_path, settings=settings))


def _release() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
