"""Coauthor-Physics: authors in physics who write together."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "coauthor-physics",
        label="Coauthor-Physics",
        place=7,
        about="built into DGL",
        load=late("data.builtin:gnn_benchmark", "CoauthorPhysicsDataset"),
    )
)
