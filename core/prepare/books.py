"""What the main process keeps about one preparation."""

from dataclasses import dataclass, field

from .ledger import Ledger
from .plan import Plan
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

    worst: list[Worth] = field(default_factory=list)
    """The rows most worth a look."""
