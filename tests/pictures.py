"""Pictures of drawings in a browser, whose canvases show pixels and no text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator


def picture_of(drawing: Locator) -> bytes:
    """What a part of a page shows now.

    Cut out of a picture of the page: one of the element itself would wait until it stands still,
    and a table that ticks on a busy machine does not.
    """
    drawing.evaluate("each => each.scrollIntoView({block: 'nearest'})")
    box = drawing.bounding_box()
    assert box is not None, "it is not shown"
    return drawing.page.screenshot(clip=box)
