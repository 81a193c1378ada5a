"""What axe-core finds on a page: what keeps people from reading or using it."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


def violations(page: Page) -> list[str]:
    """A line each: the rule, what it asks for, and where."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{each['id']}: {each['help']} at {node['target']} {node.get('failureSummary', '')}"
        for each in found
        for node in each["nodes"]
    ]
