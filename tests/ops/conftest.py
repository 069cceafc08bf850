"""The sanitizers, which take longest, come first: no process waits for them at the end."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "test_sanitized" not in item.nodeid)
