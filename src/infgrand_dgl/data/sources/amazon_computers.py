"""Amazon-Computers: goods that are bought together."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "amazon-computers",
        label="Amazon-Computers",
        place=5,
        about="built into DGL",
        load=late("data.builtin:gnn_benchmark", "AmazonCoBuyComputerDataset"),
    )
)
