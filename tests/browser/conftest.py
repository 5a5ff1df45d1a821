"""A real headless Chromium; `make test-browser` skips with the reason where there is none."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium driven by Debian's chromedriver, with its network log."""
    driver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    chromium, control = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or control is None:
        pytest.skip("no chromium and chromedriver: apt-get install chromium chromium-driver")
    options = driver.ChromeOptions()
    options.binary_location = chromium
    # In a container there is no user namespace for its sandbox; the pages are ours.
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    opened = driver.Chrome(options=options, service=Service(control))
    opened.execute_cdp_cmd("Network.enable", {})
    yield opened
    opened.quit()
