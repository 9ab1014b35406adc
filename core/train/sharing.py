"""A step shared by several processes, the same rows, so the same training; and whether they may share the layers."""

from dataclasses import replace

from .hyperparameters import Hyperparameters, Technique
from .recipe import Recipe
from .result import Difference


def share(recipe: Recipe, processes: int) -> Recipe:
    """The recipe of each process: its batches of a step, which together read as many rows as one process would.

    The batches stay as large as they can: batch 4 and accumulation 4 become batch 4 and accumulation 2 for two
    processes. Where the rows of a step cannot be divided evenly, a step has the next larger number.
    """
    if processes == 1:
        return recipe
    rows = -(-recipe.batch_size * recipe.gradient_accumulation // processes)
    batch = max(size for size in range(1, recipe.batch_size + 1) if rows % size == 0)
    settled = {"batch_size": batch, "gradient_accumulation": rows // batch}
    asked = {"batch_size": recipe.batch_size, "gradient_accumulation": recipe.gradient_accumulation}
    reason = f"{processes} processes share a step"
    if rows * processes != recipe.batch_size * recipe.gradient_accumulation:
        reason += f", which has {rows * processes} rows instead of {recipe.batch_size * recipe.gradient_accumulation}"
    found = tuple(
        Difference(name=name, requested=value, effective=settled[name], reason=reason)
        for name, value in asked.items()
        if settled[name] != value
    )
    return replace(
        recipe,
        numbers=recipe.numbers.model_copy(update=settled),
        processes=processes,
        differences=(*recipe.differences, *found),
    )


def kept_whole(technique: Technique, numbers: Hyperparameters) -> str | None:
    """Why each process needs the whole base, however little memory it has; None where layers can be sharded."""
    if technique == "qlora":
        return "4-bit weights are loaded whole"
    if numbers.use_dora:
        return "DoRA begins with the norms of whole weights"
    if numbers.init_lora_weights == "pissa":
        return "PiSSA begins by decomposing whole weights"
    return None
