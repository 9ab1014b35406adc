"""A merge under way: what is to be done, and what has come of it so far."""

from dataclasses import dataclass, field
from pathlib import Path

from ..checks import Check
from ..examples.chat import ChatTokenizer
from ..runs.active import ActiveRun
from .expectation import Expectation
from .job import Job
from .probes import Probes
from .result import Measured, Verification
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

    @property
    def trained_with(self) -> Path:
        """The folder of the tokenizer that training used."""
        return tokenizer_folder(self.job.base.folder, self.job.adapter_folder)

    @property
    def model(self) -> Path:
        """The whole model that is shipped: the merged one, or the given one where there was nothing to merge."""
        return self.merged or self.job.base.folder
