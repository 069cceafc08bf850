"""docs/configuration.md is what the schema says."""

from pathlib import Path

from infgrand_dgl.config.reference import reference
from infgrand_dgl.config.schema import Config

PAGE = Path(__file__).parents[2] / "docs/configuration.md"


def test_page_is_current():
    assert PAGE.read_text() == reference(), "make configuration writes it anew"


def test_every_key_is_documented():
    rows = [line.strip("| ").split(" | ") for line in reference().splitlines() if "| `" in line]
    keys = [row[0] for row in rows]
    expected = []
    for name, field in Config.model_fields.items():
        fields = getattr(field.annotation, "model_fields", {name: field})
        expected += [f"`{each.alias or key}`" for key, each in fields.items()]
    assert keys == expected
    for key, kind, default, meaning in rows:
        assert kind and default and meaning.endswith("."), key
