"""Citeseer: papers on computer science that cite each other, with the public split."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "citeseer",
        label="Citeseer",
        place=2,
        about="built into DGL",
        row_normalized=lambda config: config.row_normalize is not False,
        load=late("data.builtin:planetoid", "CiteseerGraphDataset"),
    )
)
