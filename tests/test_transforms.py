import pytest
import torch

from infgrand_dgl import (
    AddInfluence,
    AddPropagatedFeatures,
    InputError,
    influence_scores,
    propagate_features,
)
from infgrand_dgl.graph.dgl_bridge import dgl
from tests.conftest import random_undirected


def test_add_to_a_composed_pipeline():
    graph = random_undirected(50, 100).to_dgl()
    graph.ndata["feat"] = torch.randn(50, 6)
    transform = dgl.transforms.Compose(
        [
            AddInfluence(normalization="max", self_loop_weight=2.0),
            AddPropagatedFeatures(hops=3, pooling="max", key="wide"),
        ]
    )
    out = transform(graph)
    x = graph.ndata["feat"]
    expected = influence_scores(graph, x, normalization="max", self_loop_weight=2.0)
    torch.testing.assert_close(out.ndata["influence"], expected)
    torch.testing.assert_close(
        out.ndata["wide"], propagate_features(graph, x, hops=3, pooling="max")
    )


def test_a_measure_of_labels_reads_those_of_a_mask():
    graph = random_undirected(50, 100).to_dgl()
    graph.ndata["feat"] = torch.randn(50, 6)
    transform = AddInfluence(measure="label-reach")
    with pytest.raises(InputError, match="measure: label-reach needs ndata 'label', found 'feat'"):
        transform(graph)
    graph.ndata["label"], graph.ndata["train_mask"] = torch.arange(50) % 4, torch.arange(50) < 9
    labels = torch.where(torch.arange(50) < 9, torch.arange(50) % 4, -1)
    found = transform(graph).ndata["influence"]
    expected = influence_scores(graph, graph.ndata["feat"], measure="label-reach", labels=labels)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("transform", [AddInfluence(feature="x"), AddPropagatedFeatures(hops=1)])
def test_features_that_are_not_there(transform):
    graph = random_undirected(50, 100).to_dgl()
    with pytest.raises(InputError, match=f"needs ndata '{transform.feature}', found none"):
        transform(graph)
    graph.ndata["h"] = torch.randn(50, 6)
    with pytest.raises(InputError, match=f"ndata '{transform.feature}', found 'h'"):
        transform(graph)
