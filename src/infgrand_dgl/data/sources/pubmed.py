"""Pubmed: papers on diabetes that cite each other, with the public split."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "pubmed",
        label="Pubmed",
        place=3,
        about="built into DGL",
        row_normalized=lambda config: config.row_normalize is not False,
        load=late("data.builtin:planetoid", "PubmedGraphDataset"),
    )
)
