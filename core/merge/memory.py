"""How much memory a merge takes at its peak, as the system counts it: resident, of the worker and what it starts."""

from ..models.gguf.programs import find_program
from ..models.machine import look
from ..processors import usable_processors
from .blend import BLOCK_NUMBERS
from .job import Job
from .request import is_k_quant
from .verify import POSITIONS, arithmetic_for, weight_bytes

# As measured on Linux; what comes on top of them is computed.
WORKER_BYTES = 265_000_000
"""Python, torch and this package."""
LOADED_BYTES = 490_000_000
"""The same with transformers and peft, once a model has been loaded."""
CHILD_BYTES = 160_000_000
"""A process that works with a GGUF file, without the file."""
BLOCK = 36
"""Bytes for each number of a thread's block: as stored, in fp32, and what the allocator keeps of earlier ones."""
SAID = 7  # sets of predictions at once: of base + adapter, base, merged and rounded, merged; and one pass and comparing
SIXTEEN_BITS = 2
EXPORTED = 1.4  # a 16-bit file that is read, and the largest quantised one that is written, in shares of the first


def peak_bytes(job: Job) -> int:
    """What the largest step of a run takes.

    Raises:
        MissingExtraError: torch is not installed.
    """
    request, steps = job.request, [WORKER_BYTES]
    if job.adapters:
        steps.append(_merging(job))
    if request.verify and (job.adapters or request.gguf):
        steps.append(_verifying(job))
    if request.gguf:
        steps += [_weighing(job), _exporting(job)]
    return max(steps)


def _merging(job: Job) -> int:
    """A block of rows for each thread; whole weights for a strategy that prunes; the whole model by peft."""
    if job.method == "in_memory":
        return LOADED_BYTES + _model(job, "float32")
    copies = 0 if job.recipe.only_sums else 3 + 3 * len(job.adapters)
    blocks = usable_processors() * BLOCK * min(BLOCK_NUMBERS, _largest(job))
    return WORKER_BYTES + blocks + copies * _largest(job) * 4


def _verifying(job: Job) -> int:
    """The models that are compared at once, and what they said."""
    only_sums = job.recipe.only_sums
    arithmetic = arithmetic_for(job.base, job.plan if job.adapters and only_sums else None)
    said = SAID * POSITIONS * _vocabulary(job) * 4
    if arithmetic.from_disk:
        return LOADED_BYTES + said + 2 * _largest(job) * 4
    several = len(job.adapters) if len(job.adapters) > 1 else 0
    others = (min(1, several) if only_sums else 1 + several) * _held(job, arithmetic.dtype)
    return LOADED_BYTES + said + _model(job, arithmetic.dtype) + others


def _weighing(job: Job) -> int:
    """What an importance matrix takes where transformers has to find it out."""
    by_transformers = any(map(is_k_quant, job.request.gguf)) and find_program("llama-imatrix") is None
    return LOADED_BYTES + _model(job, look().dtype) if by_transformers else 0


def _exporting(job: Job) -> int:
    own = LOADED_BYTES if job.request.verify else WORKER_BYTES
    return own + CHILD_BYTES + int(job.base.parameters * SIXTEEN_BITS * EXPORTED)


def _model(job: Job, dtype: str) -> int:
    """A model that is being loaded: itself, and its files, which stay mapped until it is."""
    return _held(job, dtype) + sum(tensor.bytes for tensor in job.base.tensors.values())


def _held(job: Job, dtype: str) -> int:
    """A model in main memory; a GPU has its own."""
    return 0 if look().device == "cuda" else weight_bytes(job.base.parameters, dtype)


def _largest(job: Job) -> int:
    return max(tensor.elements for tensor in job.base.tensors.values())


def _vocabulary(job: Job) -> int:
    embedding = job.base.embedding
    return job.plan.vocabulary(job.base) or (job.base.tensors[embedding].rows if embedding else 0)
