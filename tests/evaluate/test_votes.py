"""What verdicts amount to, against other implementations and by hand."""

import pytest
from faion_finetuner.core.evaluate.judging.pairs import Docket, Pair, show
from faion_finetuner.core.evaluate.judging.votes import Ballot, Ballots, Vote, krippendorff_alpha, tally, wilson
from faion_finetuner.core.evaluate.result import Choice, Judging


def docket(count: int, same: int = 0) -> Docket:
    pairs = tuple(Pair(prompt=f"p{n}", reference="", base="short", finetuned=f"much longer {n}") for n in range(count))
    return Docket(
        judge="assistant", run_id="evaluate-1", page_path=None, pairs=pairs, same=same, showings=show(pairs, 3),
        samples=(), recommendations=(),
    )  # fmt: skip


def judged(made: Docket, said: list[tuple[str, str]], both_orders: bool = True) -> Judging:
    """The tally of one judge who says for each pair, in its first and second showing: new, old or a plain choice."""
    votes = []
    for showing in made.showings[: len(made.showings) if both_orders else len(made.pairs)]:
        word = said[showing.pair][int(showing not in made.once)]
        right: Choice = "A" if showing.finetuned_first else "B"
        wrong: Choice = "B" if showing.finetuned_first else "A"
        plain: dict[str, Choice] = {"new": right, "old": wrong, "tie": "tie", "both bad": "both bad"}
        votes.append(Vote(showing=showing.id, choice=plain[word]))
    return tally(made, Ballots(ballots=(Ballot(rater="x", both_orders=both_orders, votes=tuple(votes)),)))


def test_only_a_verdict_that_both_orders_share_is_a_win():
    said = [("new", "new"), ("old", "old"), ("new", "old"), ("new", "tie"), ("both bad", "both bad")]
    found = judged(docket(5), said)
    assert (found.judged, found.wins, found.ties, found.losses) == (5, 1, 3, 1)
    assert (found.position_flips, found.details.both_bad, found.win_rate) == (2, 1, 0.5)
    assert found.verdict == "too few items"


def test_a_pair_seen_in_one_order_only_waits_for_the_other():
    made = docket(4)
    first = tuple(Vote(showing=showing.id, choice="A") for showing in made.once)
    found = tally(made, Ballots(ballots=(Ballot(rater="x", both_orders=True, votes=first),)))
    assert (found.judged, found.win_rate, found.ci95, found.verdict) == (0, None, None, None)
    found = tally(made, Ballots(ballots=(Ballot(rater="x", both_orders=False, votes=first),)))
    assert (found.judged, found.position_flips) == (4, None)


def test_equal_answers_pull_towards_a_draw_once_all_pairs_are_judged():
    found = judged(docket(6, same=6), [("new", "new")] * 6)
    assert (found.pairs, found.judged, found.wins, found.ties, found.win_rate) == (12, 12, 6, 6, 0.75)


def test_equal_answers_count_in_as_far_as_the_pairs_are_judged():
    made = docket(4, same=8)
    half = [one for one in made.showings if one.pair < 2]
    votes = tuple(Vote(showing=one.id, choice="A" if one.finetuned_first else "B") for one in half)
    found = tally(made, Ballots(ballots=(Ballot(rater="x", both_orders=True, votes=votes),)))
    assert (found.judged, found.wins, found.ties, found.win_rate) == (6, 2, 4, pytest.approx(4 / 6))


def test_the_last_word_by_the_clock_counts_whichever_file_is_read_last():
    def ballot(choice: Choice, at: float) -> Ballot:
        return Ballot(rater="Ann", both_orders=False, votes=(Vote(showing="1", choice=choice, at=at),))

    for order in ([ballot("A", 1.0), ballot("B", 2.0)], [ballot("B", 2.0), ballot("A", 1.0)]):
        ballots = Ballots()
        for one in order:
            ballots = ballots.with_ballot(one)
        assert [vote.choice for vote in ballots.of("Ann")] == ["B"]


def test_the_p_value_is_that_of_the_exact_sign_test_and_the_interval_that_of_statsmodels():
    from scipy.stats import binomtest
    from statsmodels.stats.proportion import proportion_confint

    found = judged(docket(20), [("new", "new")] * 15 + [("old", "old")] * 5)
    assert found.p_value == pytest.approx(binomtest(15, 20).pvalue, abs=1e-12)
    assert found.ci95 == pytest.approx(proportion_confint(15, 20, method="wilson"), abs=1e-9)
    assert found.verdict == "improved"
    assert wilson(0, 10) == pytest.approx(proportion_confint(0, 10, method="wilson"), abs=1e-9)


def test_a_taste_for_the_longer_answer_and_for_a_place_shows():
    found = judged(docket(8), [("new", "new")] * 8)
    assert (found.details.longer_won, found.details.first_won) == (1.0, 0.5)


def test_answers_that_look_the_same_are_no_pair():
    from faion_finetuner.core.evaluate.judging.pairs import draw
    from faion_finetuner.core.evaluate.result import Sample

    texts = (("Paris.", "Paris.\x00 "), ("", "\x1b"), ("Paris", "Rome"))
    samples = [Sample(prompt="p", reference="", base=base, finetuned=tuned) for base, tuned in texts]
    pairs, same = draw(samples, 10, 1)
    assert ([(pair.base, pair.finetuned) for pair in pairs], same) == ([("Paris", "Rome")], 2)


def test_half_of_the_pairs_start_with_the_fine_tuned_answer_and_each_is_shown_in_both_orders():
    made = docket(10)
    assert sum(showing.finetuned_first for showing in made.once) == 5
    assert {(s.pair, s.finetuned_first) for s in made.showings} == {(n, side) for n in range(10) for side in (0, 1)}


def test_agreement_is_krippendorffs_own_example():
    # "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units, nominal: 0.743
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[said for said in unit if said is not None] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([[1.0], [0.0]]) is None
