"""What reaches a terminal, and what is left out of it."""

import pytest

from seal_cli import console


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\rb", "\x00"])
def test_control_characters_are_shown_and_not_obeyed(text: str) -> None:
    safe = console.safe(text)
    assert "\\x" in safe
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in safe)


def test_ordinary_text_is_left_alone() -> None:
    assert console.safe("Zürich\tcosts\n[bold]5[/bold]") == "Zürich\tcosts\n[bold]5[/bold]"


def test_without_a_terminal_progress_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.configure(quiet=False)
    with console.progress("adapt", total=3, done=1) as advance:
        advance(1)
        advance(1)
    captured = capsys.readouterr()
    assert captured.err == "adapt: 3 of 3\n"
    assert captured.out == ""
