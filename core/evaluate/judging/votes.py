"""What judges said, and what it amounts to: win rate, what the order of the answers changed, agreement."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from ... import files
from ...schema import Model
from ..comparison import ALPHA, MIN_ITEMS
from ..result import Choice, Interval, Judging, JudgingDetails, Rater, Spent, Verdict
from .pairs import Docket, Showing, seen

VOTES = "votes.json"  # in the run folder
WIN, TIE, LOSS = 1.0, 0.5, 0.0  # of the fine-tuned model
Z95 = 1.959963984540054


class Vote(Model):
    """One judge's word on one showing."""

    showing: str
    choice: Choice
    b_first: bool = False
    """Whether the judge saw B on the left, as the page for people may have it."""
    comment: str = ""
    at: float = 0.0
    """When a person said it, in milliseconds since 1970; 0 where nobody knows."""


class Ballot(Model):
    """All that one judge said."""

    rater: str
    both_orders: bool
    """Whether this judge sees every pair twice; a pair then counts once both are judged."""
    votes: tuple[Vote, ...]


class Ballots(Model):
    """votes.json."""

    ballots: tuple[Ballot, ...] = ()

    def of(self, rater: str) -> tuple[Vote, ...]:
        """What this judge said so far."""
        return next((ballot.votes for ballot in self.ballots if ballot.rater == rater), ())

    def with_ballot(self, new: Ballot) -> "Ballots":
        """With this ballot laid over what the same judge said before: the last word on a showing counts.

        The latest by the clock, since an export made first may well be read last; else the one that came in last.
        """
        said = sorted((*self.of(new.rater), *new.votes), key=lambda vote: vote.at)
        latest = {vote.showing: vote for vote in said}
        merged = new.model_copy(update={"votes": tuple(latest.values())})
        return Ballots(ballots=(*(one for one in self.ballots if one.rater != new.rater), merged))


def read_ballots(run_dir: Path) -> Ballots:
    """What was said so far; nothing at first."""
    try:
        return Ballots.model_validate_json((run_dir / VOTES).read_bytes())
    except FileNotFoundError:
        return Ballots()


def write_ballots(run_dir: Path, ballots: Ballots) -> None:
    """Keep them in the run folder."""
    files.write_model(run_dir / VOTES, ballots)


def tally(docket: Docket, ballots: Ballots, spent: Spent | None = None) -> Judging:
    """Count the verdicts.

    A judge who sees both orders wins a pair for a model only by preferring it in both; one who changes with the order
    counts as a tie and as a position flip. Several judges' scores of a pair are averaged. Rows with equal answers are
    ties, and count in as far as the pairs are judged: without them the winner would be flattered. The interval is
    Wilson's, with a tie as half a win; p is that of the exact sign test over wins and losses.
    """
    raters = [_Rater(docket, ballot) for ballot in ballots.ballots]
    scores: dict[int, list[float]] = defaultdict(list)
    for rater in raters:
        for pair, score in rater.scores.items():
            scores[pair].append(score)
    pooled = [mean(said) for said in scores.values()]
    same = docket.same * len(pooled) // len(docket.pairs) if docket.pairs else docket.same
    wins, losses = sum(score > TIE for score in pooled), sum(score < TIE for score in pooled)
    n = len(pooled) + same
    p_value = _sign_test(wins, losses) if n else None
    rate = (sum(pooled) + TIE * same) / n if n else None
    ordered = [rater.flips for rater in raters if rater.flips is not None]
    decided = [vote for rater in raters for vote in rater.decided]
    return Judging(
        judge=docket.judge,
        run_id=docket.run_id,
        page_path=docket.page_path,
        pairs=len(docket.pairs) + docket.same,
        judged=n,
        wins=wins,
        ties=n - wins - losses,
        losses=losses,
        win_rate=rate,
        ci95=None if rate is None else wilson(rate * n, n),
        p_value=p_value,
        verdict=None if p_value is None else _verdict(n, wins - losses, p_value),
        position_flips=sum(ordered) if ordered else None,
        agreement=krippendorff_alpha(list(scores.values())) if len(raters) > 1 else None,
        details=JudgingDetails(
            both_bad=sum(rater.both_bad for rater in raters),
            first_won=mean(one.first for one in decided) if decided else None,
            longer_won=mean(one.longer for one in decided) if decided else None,
            raters=tuple(rater.told() for rater in raters),
        ),
        spent=spent,
    )


class _Decided(Model):
    """A vote for one of the answers."""

    first: bool
    longer: bool


class _Rater:
    """One judge's votes against the key."""

    def __init__(self, docket: Docket, ballot: Ballot) -> None:
        showings = {showing.id: showing for showing in docket.showings}
        said: dict[int, list[float]] = defaultdict(list)
        bad: Counter[int] = Counter()
        self.decided: list[_Decided] = []
        for vote in ballot.votes:
            showing = showings[vote.showing]
            said[showing.pair].append(_score(showing, vote.choice))
            bad[showing.pair] += vote.choice == "both bad"
            self.decided += _decision(docket, showing, vote)
        needed = 2 if ballot.both_orders else 1
        whole = {pair: scores for pair, scores in said.items() if len(scores) >= needed}
        self.name = ballot.rater
        self.scores = {pair: _together(scores) for pair, scores in whole.items()}
        self.flips = sum(len(set(scores)) > 1 for scores in whole.values()) if ballot.both_orders else None
        self.both_bad = sum(bad[pair] == len(scores) for pair, scores in whole.items())

    def told(self) -> Rater:
        """The judge's own line in the report."""
        rate = mean(self.scores.values()) if self.scores else None
        return Rater(name=self.name, judged=len(self.scores), win_rate=rate, position_flips=self.flips)


def _score(showing: Showing, choice: Choice) -> float:
    if choice in ("tie", "both bad"):
        return TIE
    return WIN if (choice == "A") == showing.finetuned_first else LOSS


def _together(scores: Sequence[float]) -> float:
    return scores[0] if len(set(scores)) == 1 else TIE


def _decision(docket: Docket, showing: Showing, vote: Vote) -> list[_Decided]:
    if vote.choice not in ("A", "B"):
        return []
    a, b = (len(seen(text)) for text in docket.answers(showing))
    chosen, other = (a, b) if vote.choice == "A" else (b, a)
    return [_Decided(first=(vote.choice == "A") != vote.b_first, longer=chosen > other)]


def _verdict(n: int, lead: int, p_value: float) -> Verdict:
    if n < MIN_ITEMS:
        return "too few items"
    if p_value >= ALPHA:
        return "no evidence"
    return "improved" if lead > 0 else "regressed"


def _sign_test(wins: int, losses: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


def wilson(successes: float, n: int) -> Interval:
    """The 95% interval of a share after Wilson (1927); half successes are allowed."""
    share, z2 = successes / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def krippendorff_alpha(units: Iterable[Sequence[float]]) -> float | None:
    """Agreement of judges beyond chance on nominal values, at most 1; 0 is chance (Krippendorff 2011).

    Args:
        units: For each item what those who judged it said; items with fewer than two voices tell nothing.

    Returns:
        None where nothing can be said: no item with two voices, or one value throughout.
    """
    voiced = [Counter(unit) for unit in units if len(unit) > 1]
    totals: Counter[float] = sum(voiced, Counter())
    n = totals.total()
    chance = n * n - sum(count * count for count in totals.values())
    if not chance:
        return None
    seen = sum(_disagreements(unit) / (unit.total() - 1) for unit in voiced)
    return 1 - (n - 1) * seen / chance


def _disagreements(unit: Mapping[float, int]) -> int:
    """Ordered pairs of voices that differ."""
    size = sum(unit.values())
    return size * size - sum(count * count for count in unit.values())
