"""A user's own graph: a folder of plain files."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "directory",
        label="Directory",
        place=12,
        about="your own graph in data.root: a folder, or what data import takes",
        needs_root=True,
        load=late("data.importing:load"),
    )
)
