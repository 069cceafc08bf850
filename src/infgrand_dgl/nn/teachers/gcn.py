r"""Graph convolutional network (Kipf and Welling, 2017)."""

from itertools import pairwise

from ...config.schema import TeacherConfig
from ...registry import BLUE, Teacher, teachers
from ..gnn import GNN, Backend, around, convolution, layer_widths


class GCN(GNN):
    r"""$H^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\hat A H^{(l)} W^{(l)} + b^{(l)}))$.

    $\hat A$ is the adjacency of the graph, self-loops and weights included, normalised on both
    sides; the last layer has neither ReLU nor dropout.
    """

    def __init__(
        self, config: TeacherConfig, in_features: int, classes: int, backend: Backend
    ) -> None:
        widths, conv = layer_widths(config, in_features, classes), convolution("GraphConv", backend)
        convs = (conv(i, o, norm="both") for i, o in pairwise(widths))
        super().__init__(convs, widths, config.dropout, backend, **around(config, classes))


teachers.add(
    Teacher(
        "gcn",
        label="GCN",
        color=BLUE,
        marker="o",
        place=1,
        build=GCN,
        floats=8,
        repeats=lambda config: True,
    )
)
