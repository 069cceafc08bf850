r"""Graph attention network (Veličković et al., 2018)."""

from .gnn import GNN, Backend, convolution


class GAT(GNN):
    r"""$h_i^{(l+1)} = \Vert_k\,\mathrm{ReLU}(\sum_{j\in N(i)} \alpha_{ij}^k W_k h_j^{(l)} + b_k)$,
    $\alpha_i^k = \mathrm{softmax}_j(\mathrm{LeakyReLU}_{0.2}(a_l\cdot W_kh_j + a_r\cdot W_kh_i))$.

    `heads` heads of `hidden / heads` each, concatenated; one head and no ReLU in the last layer.
    Dropout acts on the input of every layer and on the attention; no residual.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        classes: int,
        *,
        layers: int,
        dropout: float,
        heads: int = 4,
        attention_dropout: float = 0.3,
        backend: Backend = "dgl",
    ) -> None:
        widths = [in_features, *[hidden] * (layers - 1)]
        outputs = [*[(hidden // heads, heads)] * (layers - 1), (classes, 1)]
        conv = convolution("GATConv", backend)
        convs = (
            conv(i, o, k, feat_drop=dropout, attn_drop=attention_dropout)
            for i, (o, k) in zip(widths, outputs, strict=True)
        )
        super().__init__(convs, [*widths, classes], 0.0, backend)
