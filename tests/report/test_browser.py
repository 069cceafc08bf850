"""The page as a browser shows it, on a telephone and on a desk."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
def test_in_a_browser(everything):
    browsers = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    messages: list[str] = []
    with browsers.sync_playwright() as start:
        chromium = start.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: messages.append(request.url.split(",")[0][:99]))
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(everything.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            widths = page.evaluate("[...document.images].map(i => i.complete ? i.naturalWidth : 0)")
            assert len(widths) == 18 and all(widths)
        chromium.close()
    assert {text for text in messages if not text.startswith("data:")} == {everything.as_uri()}
