"""ogbn-products: goods that are bought together, 2,449,029."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "ogbn-products",
        label="ogbn-products",
        place=9,
        about="OGB node property prediction",
        load=late("data.ogb:load"),
        official=True,
        accuracy=late("data.ogb:accuracy"),
    )
)
