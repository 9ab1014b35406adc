"""The page on which people judge, in a real browser."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.evaluate.judging.page import page
from faion_finetuner.core.evaluate.judging.pairs import Docket, Pair, show

from tests.evaluate.browser import CHROMIUM, Browser

NASTY = "<!--<script></script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"


def docket(count: int) -> Docket:
    pairs = tuple(
        Pair(prompt=f"Prompt {n} {NASTY}", reference=f"Reference {n}", base=f"old {n} {NASTY}", finetuned=f"new {n}")
        for n in range(count)
    )
    return Docket(
        judge="human", run_id="evaluate-1", page_path="judge.html", pairs=pairs, same=0, showings=show(pairs, 7),
        samples=(), recommendations=(),
    )  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
def test_a_person_judges_by_keyboard_and_mouse_and_exports_the_votes(tmp_path: Path):
    made = docket(6)
    (tmp_path / "judge.html").write_text(page(made, "Which is better?"), encoding="utf-8")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    with Browser(tmp_path) as browser:
        browser.open(tmp_path / "judge.html")
        browser.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        assert browser.look("document.getElementById('place').textContent") == "1 of 6"
        left_is_new = []
        for press in ("1", "ArrowRight", "t", "x"):
            left_is_new.append(browser.look("document.getElementById('left').textContent").startswith("new"))
            browser.press(press)
        assert browser.look("document.getElementById('place').textContent") == "5 of 6"
        browser.press("Backspace")
        assert browser.look("document.getElementById('place').textContent") == "4 of 6"
        browser.press("x")
        for key in ("a", "1"):  # in the comment a key is a letter, not a verdict
            browser.look("document.getElementById('comment').focus()")
            browser.press(key)
        browser.press("Escape")
        left_is_new.append(browser.look("document.getElementById('left').textContent").startswith("new"))
        browser.click("[data-choice=left]")
        browser.open(tmp_path / "judge.html")  # closed and opened again, it goes on where it was
        assert browser.look("document.getElementById('bar').value") == 5
        browser.press("t")
        assert browser.look("document.getElementById('done').hidden") is False
        assert browser.look("document.title") == "Which answer is better?"
        assert browser.look("document.querySelectorAll('img, iframe, link').length") == 0
        browser.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        browser.press("e")
        browser.wait_for("Page.downloadWillBegin")
        while browser.wait_for("Page.downloadProgress")["state"] != "completed":
            pass
        told = browser.look("document.getElementById('told').textContent")
    (file,) = downloads.iterdir()
    assert told == f"6 votes exported as {file.name}."
    votes = [json.loads(line) for line in file.read_text().splitlines()]
    assert {vote["pair"] for vote in votes} == {showing.id for showing in made.once}
    new_won = [
        (vote["choice"] == "A") == showing.finetuned_first
        for vote in votes
        if vote["choice"] in ("A", "B")
        for showing in made.once
        if showing.id == vote["pair"]
    ]
    assert sorted(new_won) == sorted([left_is_new[0], not left_is_new[1], left_is_new[4]])
    assert sorted(vote["choice"] for vote in votes if len(vote["choice"]) > 1) == ["both bad", "tie", "tie"]
    assert {vote["comment"] for vote in votes} == {"", "a1"}
    assert all(vote["at"] > 1e12 for vote in votes)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
def test_the_next_person_in_the_same_browser_begins_anew(tmp_path: Path):
    made = docket(500)
    (tmp_path / "judge.html").write_text(page(made, "Which is better?"), encoding="utf-8")
    with Browser(tmp_path) as browser:
        browser.open(tmp_path / "judge.html")
        for press in ("1", "2"):
            browser.press(press)
        assert browser.look("document.getElementById('place').textContent") == "3 of 500"
        name = browser.look("document.getElementById('rater').value")
        browser.click("#another")
        assert browser.look("document.getElementById('place').textContent") == "3 of 500"  # two votes would be lost
        assert "not in a file yet" in browser.look("document.getElementById('told').textContent")
        browser.press("e")
        browser.click("#another")
        assert browser.look("document.getElementById('place').textContent") == "1 of 500"
        assert browser.look("document.getElementById('rater').value") != name
        browser.open(tmp_path / "judge.html")
        assert browser.look("document.getElementById('place').textContent") == "1 of 500"


def test_the_page_holds_no_key_no_link_and_no_text_as_markup():
    text = page(docket(3), "Which is better?")
    assert "finetuned" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "</script><script>document.title" not in text
    assert text.count("<script") == 2
