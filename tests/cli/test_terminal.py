from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from dragflow.cli import terminal
from dragflow.core.models import DOWNLOADS

SOURCES = Path(__file__).parents[2] / "src" / "dragflow" / "cli"
EVIL = "\x1b[2J\x1b]8;;http://evil\x07[link=http://evil]x[/link]\x9b31m\u202e"
SHOWN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_everything_that_is_shown_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    terminal.say(EVIL)
    terminal.complain(EVIL)
    terminal.console().print(table)
    terminal.console(stderr=True).print(EVIL)
    out, err = capsys.readouterr()
    assert "[link=http://evil]x[/link]" in out
    assert not SHOWN.search(out + err)


def test_on_a_terminal_no_codes_are_left_but_those_of_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    console: Any = terminal.console()
    console.file = io.StringIO()
    console.print(EVIL, style="green")
    text = console.file.getvalue()
    assert re.findall(r"\x1b[^m]*m", text) == ["\x1b[32m", "\x1b[0m"]
    assert not SHOWN.search(re.sub(r"\x1b\[[0-9]*m", "", text))


def test_json_holds_the_text_and_no_codes(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit({"prompt": EVIL})
    out = capsys.readouterr().out
    assert json.loads(out) == {"prompt": EVIL}
    assert out.rstrip().isascii()
    assert out.rstrip().isprintable()


def test_warnings_of_the_library_are_one_clean_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_log(verbose=False)
    terminal.show_log(verbose=False)
    logging.getLogger("dragflow.files.pictures").warning("%s: left\nout", f"a{EVIL}.png")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert not SHOWN.search(err)


def test_what_the_library_tells_is_shown_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("dragflow.backbones")
    terminal.show_log(verbose=True)
    log.info("a model tells")
    terminal.show_log(verbose=False)
    log.info("a model tells more")
    logging.getLogger(DOWNLOADS).info("downloading it")  # which is always said
    assert capsys.readouterr().err == "a model tells\ndownloading it\n"


def test_nothing_else_in_the_command_line_writes_to_a_terminal() -> None:
    """Ruff refuses `print` there; consoles and streams are looked for here."""
    for file in SOURCES.glob("*.py"):
        if file.name != "terminal.py":
            found = re.findall(r"\bConsole\(|sys\.std(?:out|err)\b", file.read_text(encoding="utf-8"))
            assert not found, file.name
