"""ogbn-papers100M: papers, 111,059,956; prepared as a stream of OGB's archive."""

# ruff: noqa: N999  (the capital is OGB's)

from ...registry import Source, late, sources

sources.add(
    Source(
        "ogbn-papers100M",
        label="ogbn-papers100M",
        place=10,
        about="OGB node property prediction",
        load=late("data.ogb:load"),
        streamed=late("data.ogb_archive:streamed"),
        write=late("data.ogb_archive:write"),
        official=True,
        accuracy=late("data.ogb:accuracy"),
    )
)
