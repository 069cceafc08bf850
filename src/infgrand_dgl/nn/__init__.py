"""Teachers (GCN, GAT, GraphSAGE) and the student (MLP)."""
