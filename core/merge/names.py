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

    def loaded(self, name: str) -> str:
        """The name in the loaded model of a weight in the files."""
        if self._found is None:
            self._found = names_in_files(self._base, self._settings)
        return next((loaded for loaded, stored in self._found.items() if stored == name), name)

    def linear_in_nf4(self) -> frozenset[str]:
        """The weights, as the files name them, that transformers loads as 4-bit numbers for a QLoRA training."""
        torch = extras.require("torch", "Merging an adapter")
        quantizers = extras.require("transformers.quantizers.base", "Merging into the base of a QLoRA training")
        model = _without_weights(self._base, self._settings)
        kept = set(quantizers.get_keys_to_not_convert(model))
        linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
        weights = {f"{name}.weight" for name in linear if name not in kept}
        files = {name: name if name in self._base.tensors else self(name) for name in weights}
        return frozenset(name for name in files.values() if name)


def names_in_files(base: Checkpoint, settings: Settings) -> Mapping[str, str]:
    """From each weight's name in the loaded model to its name in the files.

    transformers renames weights as it loads them (prefixes, older names) and fuses some (experts); fused ones have no
    entry. The model is built without memory for its weights, and asked how it would load them.
    """
    loading = extras.require("transformers.core_model_loading", "Merging an adapter")
    conversion = extras.require("transformers.conversion_mapping", "Merging an adapter")
    model = _without_weights(base, settings)
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


def _without_weights(base: Checkpoint, settings: Settings) -> Any:
    torch = extras.require("torch", "Merging an adapter")
    transformers = extras.require("transformers", "Merging an adapter")
    options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    config = transformers.AutoConfig.from_pretrained(base.folder, local_files_only=True, **options)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config, **options)
