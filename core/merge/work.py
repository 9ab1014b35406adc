"""A merge under way: what is to be done, and what has come of it so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..checks import Check
from ..examples.chat import ChatTokenizer
from ..models.licence import licence_of
from ..runs.active import ActiveRun
from .card import Ingredients, card
from .expectation import Expectation
from .job import Job
from .probes import Probes
from .provenance import find_evaluation
from .result import Export, Measured, Verification
from .surroundings import tokenizer_folder


@dataclass
class Work:
    """A job, and what has come of it so far."""

    job: Job
    run: ActiveRun
    checks: list[Check]
    merged: Path | None = None
    verification: Verification | None = None
    rows: Probes | None = None
    """The rows that files made from the model are compared on; None where nothing is verified."""
    expectation: Expectation | None = None
    """What the merged model makes of them."""
    measured: list[Measured] = field(default_factory=list)

    @property
    def chat(self) -> ChatTokenizer:
        """The tokenizer of what is shipped."""
        return ChatTokenizer.load(self.merged or self.trained_with)

    def card(self, exports: Sequence[Export] = ()) -> str:
        """The model card as far as it is known now."""
        job, folder = self.job, self.job.adapter_folder
        return card(
            Ingredients(
                model_name=job.request.model_name,
                base_dtype=job.base.dtype,
                dtype=job.dtype,
                adapters=job.adapters,
                training=job.training,
                evaluation=find_evaluation(folder, job.settings) if folder else None,
                licence=licence_of(job.request.model_name, job.base.folder),
                verification=self.verification,
                exports=exports,
            )
        )

    @property
    def trained_with(self) -> Path:
        """The folder of the tokenizer that training used."""
        return tokenizer_folder(self.job.base.folder, self.job.adapter_folder)

    @property
    def model(self) -> Path:
        """The whole model that is shipped: the merged one, or the given one where there was nothing to merge."""
        return self.merged or self.job.base.folder
