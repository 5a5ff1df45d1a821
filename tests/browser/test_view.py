"""The page of `seal view` in a real browser: search, sort, open, back, deep links, no request."""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seal_cli.reports import view
from seal_cli.reports.colours import COLOURS

WORDS = ["harbour", "light", "stone", "river", "winter", "copper", "garden", "market", "bridge"]
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
SIZES = [(390, 844), (1280, 900)]
READY = 10.0  # seconds


def attempt(draw: random.Random, context: int, sample: int, turn: int) -> dict[str, Any]:
    text = "\n".join(" ".join(draw.choices(WORDS, k=12)) for _ in range(6))
    after = [draw.random() < 0.5 for _ in range(5)]
    return {
        "artifact_id": f"score-{turn}", "self_edit_id": f"edit{context}-{sample}-{turn}",
        "grader": "offline-2", "policy": f"tiny@round{turn}", "round": turn, "sample": sample,
        "prompt": "implications", "status": "ok", "text": text, "lines": text.split("\n"),
        "baseline": 0.2, "adapted": sum(after) / 5, "reward": sum(after) / 5,
        "gain": sum(after) / 5 - 0.2, "repeats": 1, "chosen": [],
        "adapters": [{"repeat": 0, "status": "ok", "first_loss": 2.0, "last_loss": 0.5}],
        "flips": [
            {"question_id": f"q{context}-{n}", "before": draw.choice(WORDS), "after": "yes",
             "change": "gained" if right else "never"}
            for n, right in enumerate(after)
        ],
    }  # fmt: skip


def made(contexts: int, samples: int) -> dict[str, Any]:
    """A page's data: contexts in two rounds, the last one hostile."""
    draw = random.Random(0)
    rows = []
    for n in range(contexts):
        rounds = range(2) if n == 1 else range(1)
        asked = [{"id": f"q{n}-{m}", "question": f"Which {m}?", "gold": ["yes"]} for m in range(5)]
        rows.append({
            "id": f"c{n}", "title": f"Title {n}", "split": "train", "domain": "knowledge",
            "text": " ".join(draw.choices(WORDS, k=120)), "questions": asked,
            "attempts": [attempt(draw, n, s, r) for r in rounds for s in range(samples)],
        })  # fmt: skip
    kept = rows[0]["attempts"][1]
    kept |= {"reward": 1.0, "gain": 0.8}
    kept["chosen"] = [
        {
            "artifact_id": "filter-0",
            "kept": True,
            "rank": 1,
            "rule": "best-of-n",
            "reason": "best of",
        }
    ]
    hostile = {"text": HOSTILE, "lines": [HOSTILE], "policy": HOSTILE, "prompt": HOSTILE}
    rows[-1] |= {"title": HOSTILE, "text": HOSTILE}
    rows[-1]["attempts"][0] |= hostile | {"reward": 1.0}
    rows[-1]["attempts"][0]["flips"][0] |= {"before": HOSTILE, "after": {"grid": [[0, 1], [2, 3]]}}
    run = {
        "artifact_id": "score-0", "name": HOSTILE, "stage": "score", "inputs": [], "rows": 5,
        "created_at": "2026-01-01 00:00:00", "models": {}, "versions": {},
        "settings": [{"section": "score", "key": "grader", "value": HOSTILE}],
    }  # fmt: skip
    measured = {"method": "self-edits", "round": 0, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    return {
        "seal": "0", "colours": COLOURS, "contexts": rows, "models": [], "runs": [run],
        "rounds": [measured | {"contexts": 9, "model": "tiny", "grader": "g", "dataset": "d"}],
    }  # fmt: skip


class Page:
    """A page that is open."""

    def __init__(self, browser: Any, file: Path) -> None:
        self.browser, self.file = browser, file

    def open(self, where: str = "") -> float:
        """Load it anew; milliseconds until it was drawn."""
        self.browser.get("about:blank")
        self.browser.get(self.file.as_uri() + where)
        self.until("return document.body.dataset.ready")
        return float(self("return document.body.dataset.ready"))

    def __call__(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def until(self, script: str) -> float:
        """Wait for a script to give something; milliseconds it took."""
        start = time.monotonic()
        while not self(script):
            assert time.monotonic() - start < READY, script
            time.sleep(0.01)
        return (time.monotonic() - start) * 1000

    @property
    def names(self) -> list[str]:
        found = self(
            "return [...document.querySelectorAll('#contexts .name')].map(n => n.textContent)"
        )
        return list(found)

    @property
    def heading(self) -> str:
        return str(self("return document.querySelector('#detail h2').textContent"))

    @property
    def place(self) -> str:
        return str(self("return location.hash"))

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("view") / "small.html"
    file.write_text(view.page(made(30, 3)), encoding="utf-8")
    return file


@pytest.fixture
def page(browser: Any, small: Path) -> Iterator[Page]:
    resize(browser, *SIZES[1])
    yield Page(browser, small)
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def resize(browser: Any, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_search_narrows_the_list_and_stands_in_the_address(page: Page) -> None:
    page.open()
    assert len(page.names) == 30
    page.find("body").send_keys("/")
    assert page("return document.activeElement.id") == "search"
    page.find("#search").send_keys("title 17")
    page.until("return document.querySelectorAll('#contexts .name').length === 1")
    assert page.names == ["Title 17"]
    assert "q=title+17" in page.place
    assert page.find("#count").text == "1 of 30 contexts"


def test_sort_puts_the_best_first(page: Page) -> None:
    page.open()
    assert page.names[:3] == ["Title 0", "Title 1", "Title 2"]
    page(
        "const s = document.getElementById('sort'); s.value = 'worst';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert "sort=worst" in page.place
    lowest = page("return shown.map(c => c.worst)")
    assert lowest == sorted(lowest)
    assert len(set(lowest)) > 1
    page.open("#sort=best")
    best = page("return shown.map(c => c.best)")
    assert best == sorted(best, reverse=True)


def test_a_context_opens_and_back_returns_to_the_list(page: Page) -> None:
    page.open("#q=title")
    page.find("#contexts a").click()
    page.until("return document.querySelector('#detail h2').textContent === 'Title 0'")
    assert "q=title" in page.place
    cards = page("return [...document.querySelectorAll('.edit')].map(c => c.className)")
    assert cards == ["edit kept", "edit", "edit"]  # by reward
    opened = page("return [...document.querySelectorAll('.edit')].map(c => c.children.length)")
    assert opened == [2, 1, 1]  # the others are drawn when they are opened
    body = page.find(".edit.kept .body").text
    assert "Selected (rank 1, best-of-n): best of" in body
    assert "2.000" in body
    assert "gained" in body
    page.browser.back()
    page.until("return document.querySelector('#detail h2').textContent === 'Accuracy by round'")
    assert page.place == "#q=title"


def test_the_keyboard_suffices(page: Page) -> None:
    page.open()
    for name in ("Title 0", "Title 1", "Title 2"):
        page.find("body").send_keys("j")
        page.until(f"return document.querySelector('#detail h2').textContent === '{name}'")
    page.find("body").send_keys("k")
    page.until("return document.querySelector('#detail h2').textContent === 'Title 1'")
    assert page("return document.activeElement.tagName") == "H2"
    second = page.browser.find_elements("css selector", ".edit > summary")[1]
    second.send_keys("\ue007")  # Enter
    page.until("return document.querySelectorAll('.edit')[1].children.length === 2")
    page.find("body").send_keys("\ue00c")  # Escape
    page.until("return !location.hash.includes('context')")


def test_deep_links_open_what_they_name(page: Page) -> None:
    page.open("#context=c1&edit=edit1-2-1")
    assert page.heading == "Title 1"
    opened = page("return [...document.querySelectorAll('.edit[open]')].map(c => c.id)")
    assert opened == ["edit-edit1-2-1"]
    rounds = page("return [...document.querySelectorAll('.round h3')].map(h => h.textContent)")
    assert rounds == ["Round 0: tiny@round0", "Round 1: tiny@round1"]
    tops = page(
        "return [...document.querySelectorAll('.round')].map(r => r.getBoundingClientRect().top)"
    )
    assert len(set(tops)) == 1  # side by side
    page.open("#artifact=score-0")
    assert "grader" in page.find("#artifact-score-0 .body").text
    page.open("#context=nothing")
    assert page.heading == "Not here"


@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_shows_one_pane_where_it_is_narrow(page: Page, size: tuple[int, int]) -> None:
    resize(page.browser, *size)
    for where in ("", "#context=c1", "#context=c29", "#view=overview"):
        page.open(where)
        assert page("return document.documentElement.scrollWidth <= innerWidth"), where
        panes = page(
            "return ['list', 'detail'].map(i => document.getElementById(i).offsetWidth > 0)"
        )
        assert panes == ([not where, bool(where)] if size[0] < 800 else [True, True])


def test_it_is_dark_where_the_system_is(page: Page) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        page.open()
        grounds.append(page("return getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(21, 26, 24)"]


def test_hostile_text_is_text(page: Page) -> None:
    page.open("#context=c29")
    assert page.heading == HOSTILE
    assert page("return document.querySelectorAll('img, script[src], iframe').length") == 0
    assert page("return document.querySelectorAll('script').length") == 1  # data are removed
    assert page("return document.title") == f"{HOSTILE} – seal view"
    assert HOSTILE in page("return document.getElementById('detail').textContent")
    assert page("return document.querySelector('canvas').getAttribute('aria-label')") == (
        "grid of 2 by 2: 01 23"
    )
    # What would run if the page did make markup of text: the policy forbids it.
    page("document.body.setAttribute('onclick', 'document.title = 1')")
    page("document.body.click()")
    assert page("return document.title") != "1"
    refused = page.browser.get_log("browser")
    assert any("Content Security Policy" in entry["message"] for entry in refused)


def test_nothing_is_asked_of_the_network(page: Page) -> None:
    page.browser.get_log("performance")
    for where in ("", "#context=c29", "#context=c1", "#view=overview", "#artifact=score-0"):
        page.open(where)
    sent = [
        json.loads(entry["message"])["message"] for entry in page.browser.get_log("performance")
    ]
    asked = {
        event["params"]["request"]["url"]
        for event in sent if event["method"] == "Network.requestWillBeSent"
    }  # fmt: skip
    assert asked <= {page.file.as_uri(), "about:blank"}
    assert page.file.as_uri() in asked  # the log works


def test_a_thousand_contexts_stay_usable(
    browser: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    start = time.monotonic()
    text = view.page(made(1000, 5))
    written = time.monotonic() - start
    file = tmp_path / "large.html"
    file.write_text(text, encoding="utf-8")
    resize(browser, *SIZES[1])
    page = Page(browser, file)
    times = {"megabytes": len(text) / 1e6, "written s": written, "drawn ms": page.open()}
    assert len(page.names) < 400  # the rest is drawn when it is seen
    took = "start = performance.now(); {}; return performance.now() - start"
    times["first search ms"] = page(
        took.format("history.replaceState(0, '', '#q=copper'); route()")
    )
    times["next search ms"] = page(
        took.format("history.replaceState(0, '', '#q=title+99'); route()")
    )
    times["sort ms"] = page(took.format("history.replaceState(0, '', '#sort=best'); route()"))
    times["open ms"] = page(took.format("history.replaceState(0, '', '#context=c999'); route()"))
    assert page.heading == HOSTILE
    print("1,000 x 5:", ", ".join(f"{name} {value:.1f}" for name, value in times.items()))
    assert times["drawn ms"] < 5000
    assert (
        max(value for name, value in times.items() if name.endswith(("search ms", "sort ms")))
        < 1000
    )
