"""Generated graphs, in memory or by way of the disk."""

from ...registry import Source, late, sources

sources.add(
    Source(
        "synthetic",
        label="Synthetic",
        place=11,
        about="generated: data.style citation, arxiv, products, papers100M or uniform",
        settings=frozenset(
            {"style", "nodes", "degree", "features", "classes", "homophily", "seed"}
        ),
        downloads=False,
        row_normalized=lambda config: config.style == "citation",
        load=late("data.synthetic:load"),
        streamed=late("data.synthetic:streamed"),
        write=late("data.synthetic:write"),
    )
)
