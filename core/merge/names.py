"""Names of weights: in a model's files, and in the model that transformers makes of them."""

from collections.abc import Mapping
from typing import Any

from .. import extras
from ..settings import Settings
from .checkpoint import Checkpoint


class Names:
    """The names in a model's files, looked up only for weights that go by another one there: that takes seconds."""

    def __init__(self, base: Checkpoint, settings: Settings) -> None:
        self._base, self._settings = base, settings
        self._found: Mapping[str, str] | None = None

    def __call__(self, weight: str) -> str | None:
        """A weight's name in the files; None where it has none of its own."""
        if self._found is None:
            self._found = names_in_files(self._base, self._settings)
        return self._found.get(weight)


def names_in_files(base: Checkpoint, settings: Settings) -> Mapping[str, str]:
    """From each weight's name in the loaded model to its name in the files.

    transformers renames weights as it loads them (prefixes, older names) and fuses some (experts); fused ones have no
    entry. The model is built without memory for its weights, and asked how it would load them.
    """
    torch = extras.require("torch", "Merging an adapter")
    transformers = extras.require("transformers", "Merging an adapter")
    loading = extras.require("transformers.core_model_loading", "Merging an adapter")
    conversion = extras.require("transformers.conversion_mapping", "Merging an adapter")
    options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    with torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(base.folder, local_files_only=True, **options)
        model = transformers.AutoModelForCausalLM.from_config(config, **options)
    transforms = conversion.get_model_conversion_mapping(model)
    renamings = [one for one in transforms if isinstance(one, loading.WeightRenaming)]
    converters = [one for one in transforms if isinstance(one, loading.WeightConverter)]
    weights = model.state_dict()
    found = {}
    for name in base.tensors:
        loaded, fused_by = loading.rename_source_key(name, renamings, converters, model.base_model_prefix, weights)
        if fused_by is None and loaded in weights:
            found[loaded] = name
    return found
