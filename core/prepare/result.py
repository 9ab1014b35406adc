"""What a preparation found and wrote."""

from pathlib import Path

from pydantic import Field

from ..checks import Check
from ..examples.dialects import Format
from ..schema import Model


class Source(Model):
    """What was read."""

    files: tuple[str, ...]
    """Files read, in order."""

    detected_format: str
    """Kind of the files: json, jsonl, csv, text, parquet, arrow; several with commas."""

    encoding: str
    """Text encoding found; several with commas."""

    dialect: str | None
    """Delimiter, quote and header of delimited files; null for others."""

    records: dict[str, int]
    """Rows by the way their record spells an example, such as "alpaca"."""

    rows_read: int = Field(ge=0)
    """Rows found, good or bad."""


class TokenStatistics(Model):
    """Tokens of one field over all written rows that have it."""

    field: str
    """Field or role; "row" is the whole row."""

    min: int
    max: int
    mean: float
    median: float
    p95: float


class OutputFile(Model):
    """One written file; in a dry run, one that would be written."""

    path: Path
    examples: int
    """Rows, or for the ledger its lines."""
    share: float | None
    """Share of the written rows, 0 to 1; null for the ledger."""
    purpose: str


class Share(Model):
    """One class of the data."""

    label: str
    examples: int
    share: float


class Balance(Model):
    """How the rows spread over classes."""

    field: str
    """Field that holds the class; "answer" for short answers."""

    classes: tuple[Share, ...]
    """The classes, largest first, at most 20."""

    classes_total: int

    imbalance: float
    """Largest class through smallest."""


class Truncation(Model):
    """What training would cut off; measured with the model's tokenizer."""

    max_length: int | None
    """The limit asked for, or what the model reads where that is less; null when neither is known."""

    rows_over: int
    lost_tokens: int
    lost_trained_tokens: int
    """Lost tokens that the loss would have been on."""

    answers_without_end: int
    """Answers cut short, so that their end is not learned."""

    rows_without_trained_token: int
    """Rows that would teach nothing."""

    length_for_99_percent: int
    """Smallest length that holds 99% of the rows whole."""


class Histogram(Model):
    """Rows by their length."""

    edges: tuple[int, ...]
    """Bounds in tokens, one more than counts."""

    counts: tuple[int, ...]


class Suspect(Model):
    """A row worth a look."""

    row_id: str
    source: str
    line: int
    reasons: tuple[str, ...]
    """Rules that speak against it; see ledger.jsonl."""

    excerpt: str
    """Start of its text; untrusted."""


class PrepareResult(Model):
    """Result of `prepare`. rows_read = unique_examples + all of dropped_by_reason."""

    source: Source

    format: Format

    total_examples: int
    """Usable examples, duplicates included."""

    unique_examples: int
    """Examples written."""

    duplicates_removed: int
    """Rows equal to an earlier one."""

    near_duplicates_removed: int
    """Rows similar to an earlier one."""

    dropped_by_reason: dict[str, int]
    """Rows left out, by rule."""

    changed_by_rule: dict[str, int]
    """Rows changed, by rule."""

    personal_data: dict[str, int]
    """Values found, by kind."""

    checks: tuple[Check, ...]

    token_statistics: tuple[TokenStatistics, ...]

    tokens_counted_by: str
    """Whose tokenizer, or an estimate."""

    truncation: Truncation | None
    """Null without model_name."""

    files: tuple[OutputFile, ...]

    balance: Balance | None
    """Null without classes."""

    languages: dict[str, int]
    """Rows by ISO 639 code; und: unsure."""

    turns: dict[str, int]
    """Rows by turns in them."""

    lengths: Histogram

    worth_a_look: tuple[Suspect, ...]
    """Suspect rows, worst first."""

    mask_preview: str | None
    """A row, what is trained in ⟦⟧."""

    warnings: tuple[str, ...]

    dry_run: bool
    """Whether nothing was written."""
