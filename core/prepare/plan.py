"""What every worker of one preparation knows."""

from dataclasses import dataclass, field
from pathlib import Path

from ..examples.prompt_template import PromptTemplate
from .benchmarks import Benchmarks
from .read import DataFile
from .request import PrepareRequest
from .restore import all_rules
from .tokens import TokenCounter


@dataclass
class Plan:
    """The request, opened: files looked at, tokenizer loaded, benchmarks read."""

    request: PrepareRequest
    files: tuple[DataFile, ...]
    tokens: TokenCounter
    benchmarks: Benchmarks

    given: tuple[int, ...]
    """For each file the split that it is by its name; see `given.splits_of`."""

    left_out: tuple[Path, ...] = ()
    """Files in the folders of data_path that are not read."""

    finds_names: bool = False
    """Whether people's names count as personal data; so where a recogniser for them is installed."""

    prompt_template: PromptTemplate | None = None

    answers_are_labels: bool | None = None
    """Whether a word such as "none" may be a right answer throughout; known once the first rows have been seen."""

    restored_rules: frozenset[str] = field(default_factory=frozenset)
    """Rules that are switched off."""

    restored_rows: frozenset[str] = field(default_factory=frozenset)
    """row_ids that no rule may touch."""

    @property
    def cut_at(self) -> int | None:
        """Tokens after which training cuts a row: max_length, or what the model reads where that is less."""
        limits = [limit for limit in (self.request.max_length, self.tokens.window) if limit is not None]
        return min(limits, default=None)

    def rules_off(self, row_id: str) -> frozenset[str]:
        """The rules that leave a row alone."""
        return all_rules() if row_id in self.restored_rows else self.restored_rules
