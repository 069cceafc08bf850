"""Cora: papers on machine learning that cite each other, with the public split."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "cora",
        label="Cora",
        place=1,
        about="built into DGL",
        row_normalized=lambda config: config.row_normalize is not False,
        load=late("data.builtin:planetoid", "CoraGraphDataset"),
    )
)
