r"""GraphSAGE with the "gcn" aggregator (Hamilton, Ying and Leskovec, 2017)."""

from itertools import pairwise

from ...config.schema import TeacherConfig
from ...registry import SKY, Teacher, teachers
from ..gnn import GNN, Backend, around, convolution, layer_widths


class SAGE(GNN):
    r"""$h_i^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(W^{(l)}
    \frac{\sum_{j\in N(i)} h_j^{(l)} + h_i^{(l)}}{|N(i)| + 1} + b^{(l)}))$.

    With weights the sum is $\sum_j a_{ij} h_j^{(l)}$, and $|N(i)|$ is $\sum_j a_{ij}$. The last
    layer has neither ReLU nor dropout.
    """

    def __init__(
        self, config: TeacherConfig, in_features: int, classes: int, backend: Backend
    ) -> None:
        widths, conv = layer_widths(config, in_features, classes), convolution("SAGEConv", backend)
        convs = (conv(i, o, aggregator_type="gcn") for i, o in pairwise(widths))
        super().__init__(convs, widths, config.dropout, backend, **around(config, classes))


teachers.add(
    Teacher(
        "sage",
        label="GraphSAGE",
        color=SKY,
        marker="v",
        place=2,
        build=SAGE,
        floats=8,
        repeats=lambda config: True,
    )
)
