"""The report's part on blind judging."""

from ...reports.markdown import number, percent, table
from ...untrusted import quote
from ..result import Judging
from . import wording


def section(found: Judging | None) -> tuple[str, ...]:
    """What the judges said of both models' answers; nothing where nobody was asked."""
    if found is None:
        return ()
    parts = ["### Blind Comparison of Answers", wording.judged(found)]
    if found.spent is not None:
        parts.append(f"The judge took {wording.spent(found.spent)}")
    if not found.judged:
        return tuple(parts)
    parts.append(
        table(
            ("Pairs judged", "Won", "Tied", "of these both bad", "Lost", "Win rate", "95% interval", "p", "Verdict"),
            (
                (
                    f"{found.judged} of {found.pairs}", found.wins, found.ties, found.details.both_bad, found.losses,
                    percent(found.win_rate), found.ci95 and f"{found.ci95.low:.1%} to {found.ci95.high:.1%}",
                    wording.p_value(found.p_value), found.verdict,
                ),
            ),
        )
    )  # fmt: skip
    parts.append(_bias(found))
    if len(found.details.raters) > 1:
        rows = (
            (quote(one.name), one.judged, percent(one.win_rate), one.position_flips) for one in found.details.raters
        )
        parts.append(table(("Judge", "Pairs", "Win rate", "Position flips"), rows))
    return tuple(parts)


def _bias(found: Judging) -> str:
    """What besides quality may have decided."""
    said = [
        "A win is the fine-tuned model's, a tie half a win; p of the exact sign test, wins against losses, decides the "
        "verdict. The judge did not know which was which."
    ]
    if found.position_flips is not None:
        said.append(
            f"Asked again with the answers exchanged, {found.position_flips} pairs got another verdict: they are ties."
        )
    if found.details.first_won is not None:
        said.append(f"The answer shown first won {found.details.first_won:.0%} of the decided votes; 50% is no bias.")
    if found.details.longer_won is not None:
        said.append(f"The longer one won {found.details.longer_won:.0%}.")
    if found.agreement is not None:
        said.append(f"Agreement of the judges (Krippendorff's alpha): {number(found.agreement, 2)}; 0 is chance.")
    return " ".join(said)
