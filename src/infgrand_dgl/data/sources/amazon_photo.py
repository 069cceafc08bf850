"""Amazon-Photo: goods that are bought together."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "amazon-photo",
        label="Amazon-Photo",
        place=4,
        about="built into DGL",
        load=late("data.builtin:gnn_benchmark", "AmazonCoBuyPhotoDataset"),
    )
)
