"""A user's own graph: a folder of plain files."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "directory",
        label="Directory",
        place=12,
        about="your own: edges, features.npy, labels.npy, splits.json in data.root",
        needs_root=True,
        load=late("data.importing:load"),
    )
)
