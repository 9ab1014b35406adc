"""What the main process keeps about one preparation."""

from collections import Counter
from dataclasses import dataclass, field

from .ledger import Ledger
from .plan import Plan
from .signatures import Template
from .store import Store
from .tally import Tally
from .worth import Worth


@dataclass
class Books:
    """The plan, and all that has come of it so far."""

    plan: Plan
    ledger: Ledger
    store: Store
    tally: Tally = field(default_factory=Tally)

    rows_read: int = 0

    rows_of: Counter[int] = field(default_factory=Counter)
    """Rows read by file, as they are numbered in the plan."""

    near_template: Template | None = None
    """What all rows share and so is no sign of a duplicate; known once the first rows have been seen."""

    worst: list[Worth] = field(default_factory=list)
    """The rows most worth a look."""
