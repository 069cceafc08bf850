// Schemas of all ops, in one place. Kernels register themselves in cpu/ and cuda/; fakes and
// gradients are in src/infgrand_dgl/ops/. The last two ops have neither: they are called outside of
// autograd and of torch.compile alone.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(infgrand, m) {
  // y_i = r_i * (sum_{e = (i, j)} v_e c_j x_j + u c_i x_i)
  // The schedule is the order in which a GPU does rows and pieces of them (CSRGraph.schedule). The
  // transposed CSR, with the values in its order, is read by the backward pass alone.
  m.def(
      "spmm(Tensor indptr, Tensor indices, Tensor x, Tensor? row_scale, Tensor? col_scale, "
      "float self_weight, Tensor? values=None, Tensor? schedule=None, Tensor? indptr_t=None, "
      "Tensor? indices_t=None, Tensor? values_t=None, Tensor? schedule_t=None) -> Tensor");
  // pool(x_0, ..., x_hops), or x_hops where pooling is last;
  // x_k = spmm(x_{k-1}) with row_scale = col_scale = scale and these values; x_0 = mask_i x_i
  m.def(
      "propagate(Tensor indptr, Tensor indices, Tensor x, Tensor scale, float self_weight, "
      "int hops, str pooling, Tensor? values=None, Tensor? mask=None, Tensor? schedule=None, "
      "Tensor? indptr_t=None, Tensor? indices_t=None, Tensor? values_t=None, "
      "Tensor? schedule_t=None) -> Tensor");
  // d_e = x_i . y_j for the edge e = (i, j); the schedule is that of its gradient's product
  m.def(
      "edge_dot(Tensor indptr, Tensor indices, Tensor x, Tensor y, Tensor? schedule=None) -> "
      "Tensor");
  // y_i = sum_{e = (i, j)} dropout(softmax_j(leaky_relu(s_j + t_i))) x_j for every head, and the
  // logarithm of the softmax's denominator
  m.def(
      "gat_aggregate(Tensor indptr, Tensor indices, Tensor x, Tensor source, Tensor target, "
      "float slope, float dropout, int seed, Tensor? schedule=None, Tensor? indptr_t=None, "
      "Tensor? indices_t=None, Tensor? schedule_t=None) -> (Tensor, Tensor)");
  // Half of its gradient: with respect to t from the rows of neighbours, or with respect to s and
  // x from those of the transposed CSR (csrc/attention.h)
  m.def(
      "gat_aggregate_backward(Tensor indptr, Tensor indices, Tensor own, Tensor other, "
      "Tensor source, Tensor target, Tensor normalizer, Tensor delta, float slope, "
      "float dropout, int seed, bool transposed, Tensor? schedule=None) -> (Tensor, Tensor)");
  // For each row of x the axis with the largest inner product, and the distance to it.
  m.def("nearest_axis(Tensor x, Tensor axes) -> (Tensor, Tensor)");
  // (i, j, pairs evaluated): the least x_i . y_j, if below value, over the members j of each cone
  // with x_i . axis <= limit_j, which descend in a cone; (-1, -1, pairs evaluated) if none is.
  // Rows of x and y are of unit length. Directions, orthonormal or zero, may help to exclude pairs;
  // the CPU alone reads them.
  m.def(
      "min_over_cones(Tensor indptr, Tensor indices, Tensor x, Tensor y, Tensor axes, "
      "Tensor limits, Tensor? directions, float value, float eps) -> Tensor");
}
