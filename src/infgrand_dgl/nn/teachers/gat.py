r"""Graph attention network (Veličković et al., 2018)."""

from ...config.schema import TeacherConfig
from ...registry import AMBER, Teacher, teachers
from ..gnn import GNN, Backend, around, convolution, layer_widths


class GAT(GNN):
    r"""$h_i^{(l+1)} = \Vert_k\,\mathrm{ReLU}(\sum_{j\in N(i)} \alpha_{ij}^k W_k h_j^{(l)} + b_k)$,
    $\alpha_i^k = \mathrm{softmax}_j(\mathrm{LeakyReLU}_{0.2}(a_l\cdot W_kh_j + a_r\cdot W_kh_i))$.

    `heads` heads of `hidden / heads` each, concatenated; one head and no ReLU in the last layer.
    Dropout acts on the input of every layer and on the attention.
    """

    def __init__(
        self, config: TeacherConfig, in_features: int, classes: int, backend: Backend
    ) -> None:
        widths, conv = layer_widths(config, in_features, classes), convolution("GATConv", backend)
        hidden = (config.hidden // config.heads, config.heads)
        last = (classes, 1) if config.jumping_knowledge == "none" else hidden
        heads_of = [*[hidden] * (config.layers - 1), last]
        convs = (
            conv(i, o, heads, feat_drop=config.dropout, attn_drop=config.attention_dropout)
            for i, (o, heads) in zip(widths[:-1], heads_of, strict=True)
        )
        super().__init__(convs, widths, 0.0, backend, **around(config, classes))


teachers.add(
    Teacher(
        "gat",
        label="GAT",
        color=AMBER,
        marker="P",
        place=3,
        build=GAT,
        settings=frozenset({"heads", "attention_dropout"}),
        floats=13,
        repeats=lambda config: config.attention_dropout == 0,  # seeded by a number from Python
        weights=False,
    )
)
