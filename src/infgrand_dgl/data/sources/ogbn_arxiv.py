"""ogbn-arxiv: papers on computer science, 169,343."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "ogbn-arxiv",
        label="ogbn-arxiv",
        place=8,
        about="OGB node property prediction",
        load=late("data.ogb:load"),
        official=True,
        accuracy=late("data.ogb:accuracy"),
    )
)
