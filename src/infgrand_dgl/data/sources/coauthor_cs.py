"""Coauthor-CS: authors in computer science who write together."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "coauthor-cs",
        label="Coauthor-CS",
        place=6,
        about="built into DGL",
        load=late("data.builtin:gnn_benchmark", "CoauthorCSDataset"),
    )
)
