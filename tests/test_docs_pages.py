"""The pages of the documentation: their links lead somewhere, and the commands that they show exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.main import app

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"))
CTSEARCH = typer.main.get_command(app)
COMMAND = re.compile(r"(?:\bctsearch|^ct|run --rm app) ((?:[^\n`|]|\\\n)*)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unknown_words(line: str) -> list[str]:
    """The commands and options of a command line that there are not; of a sentence, none."""
    words = [word.strip("[].,;)(").split("=")[0] for word in line.replace("\\\n", " ").split(" #")[0].split()]
    command: Any = CTSEARCH
    if not words or words[0] not in command.commands:
        return []
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    missing = [word for word in words if re.fullmatch(r"--[a-z][a-z-]*", word) and word not in options]
    is_group = hasattr(command, "commands") and words and re.fullmatch(r"[a-z-]+", words[0])
    return [words[0], *missing] if is_group else missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_checkout_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8"))
    for path, anchor in links:
        there = page.parent / path if path else page
        assert there.exists(), path
        assert not anchor or anchor in anchors(there), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_a_page_shows_exist(page: Path) -> None:
    lines = COMMAND.findall(page.read_text(encoding="utf-8"))
    assert [(line, words) for line in lines if (words := unknown_words(line))] == []


def test_a_command_or_option_that_is_not_there_is_noticed() -> None:
    assert unknown_words("serve --hosts 0.0.0.0") == ["--hosts"]
    assert unknown_words("accounts remove anna") == ["remove"]
    assert unknown_words("accounts add anna --role admin") == []
