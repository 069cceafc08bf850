#include "attention.h"

#include <tuple>

namespace infgrand {
namespace {

// The sums over the edges of a row are linear in its features: with the derivative d_ij of the
// leaky ReLU,
//   dtarget_i = dy_i . (sum_j w_ij d_ij x_j) - delta_i sum_j alpha_ij d_ij
//   dsource_j = x_j . (sum_i w_ij d_ij dy_i) - sum_i alpha_ij d_ij delta_i
// so that a row and head need one inner product, not one for each edge.
template <typename T>
struct Backward : Attention<T> {
  Buffer<const T> own, other, normalizer, delta;
  Buffer<T> sums, out;
  Partial<T> partial_sums, partial_out;
};

template <typename T, typename Layout, bool transposed>
__global__ void __launch_bounds__(kWarps* kWarp, kResident) backward(Backward<T> p) {
  const Place<Layout> at(p);
  if (at.row < 0) return;
  const int64_t head = at.row * p.heads + at.h;
  // Of the neighbours; what belongs to the row stays.
  T source[kUnroll] = {}, target[kUnroll] = {}, normalizer[kUnroll] = {}, delta[kUnroll] = {};
  if (at.active) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (transposed) source[u] = p.source[head];
      else target[u] = p.target[head], normalizer[u] = p.normalizer[head], delta[u] = p.delta[head];
    }
  }
  T dot = 0;  // this lane's part of it
  for (int pass = 0; pass < p.passes; ++pass) {
    const Features<Layout> features(p, at, pass);
    Sum<T, Layout> sum, inclined;
    T deltas = 0;
    for (int64_t e = at.begin; e < at.end; e += kUnroll * Layout::kSlots) {
      Neighbours<T, Layout> next(p, e, at.end);
      if (transposed) {
        next.find(p, p.target, at.h, target);
        next.find(p, p.normalizer, at.h, normalizer);
        next.find(p, p.delta, at.h, delta);
      } else {
        next.find(p, p.source, at.h, source);
      }
      next.find(p, p.other, features);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const int64_t i = transposed ? next.id[u] : at.row, j = transposed ? at.row : next.id[u];
        const T v = source[u] + target[u], d = v > 0 ? T(1) : p.slope;
        const T alpha = exp(next.score(p, u, v) - normalizer[u]);
        const T w = alpha * p.dropout(i, j, at.h, p.heads);
        deltas += alpha * d * delta[u];
        inclined.add(next.rows[u], w * d);
        if (transposed) sum.add(next.rows[u], w);
      }
    }
    if (pass == 0 && at.position == 0) dot -= deltas;
#pragma unroll
    for (int k = 0; k < Layout::kPacks; ++k) {
      if (!features.has(k)) continue;
      const auto own = load<Layout::kWidth>(p.own, at.row * p.width + features.first[k]);
#pragma unroll
      for (int n = 0; n < Layout::kWidth; ++n) dot += own.value[n] * inclined.packs[k].value[n];
    }
    if (!transposed) continue;
    sum.change(slot_sum<Layout, T>);
    if (at.slot == 0) sum.write(p, at.piece ? p.partial_out.sums : p.out, at.item, features);
  }
  const int lanes = p.lanes < Layout::kGroup ? p.lanes : Layout::kGroup;
  for (int step = 1; step < lanes; step *= 2) {  // of the head, this one and those after it
    const T other = __shfl_sync(kAllLanes, dot, lane_id() + step);
    if (at.position + step < lanes) dot += other;
  }
  dot = slot_sum<Layout>(dot);
  if (at.active && at.slot == 0 && at.position == 0)
    (at.piece ? p.partial_sums.sums : p.sums)[at.item * p.heads + at.h] = dot;
}

std::tuple<Tensor, Tensor> gat_aggregate_backward(const Tensor& indptr, const Tensor& indices,
                                                  const Tensor& own, const Tensor& other,
                                                  const Tensor& source, const Tensor& target,
                                                  const Tensor& normalizer, const Tensor& delta,
                                                  double slope, double dropout, int64_t seed,
                                                  bool transposed,
                                                  const std::optional<Tensor>& schedule) {
  const char* op = "infgrand::gat_aggregate_backward";
  check_aggregate_backward(op, indptr, indices, own, other, source, target, normalizer, delta,
                           dropout, transposed);
  const Launcher launch(own);
  const int64_t rows = own.size(0), H = own.size(1), F = own.size(2);
  const int64_t sums_shape[] = {rows, H}, out_shape[] = {transposed ? rows : 0, H, F};
  Tensor sums = torch::stable::new_empty(own, sums_shape);
  Tensor out = torch::stable::new_empty(own, out_shape);
  if (rows * H * F == 0) return {torch::stable::zero_(sums), out};
  for_float_or_double(own, [&](auto type) {
    using T = decltype(type);
    Backward<T> p{
        attention_of<T>(op, indptr, indices, schedule, other, source, target, slope, dropout, seed),
        reading<T>(own),
        reading<T>(other),
        reading<T>(normalizer),
        reading<T>(delta),
        writing<T>(sums),
        writing<T>(out)};
    const int64_t held_out = transposed ? p.schedule.count * H * F : 0,
                  heads = p.schedule.count * H;
    const int64_t shape[] = {held_out + heads};
    const Tensor held = torch::stable::new_empty(own, shape);
    T* const data = writing<T>(held).data;
    p.partial_out.sums = {data, held_out}, p.partial_sums.sums = {data + held_out, heads};
    for_layout(p, {p.own.data, p.other.data, p.out.data}, [&](auto layout) {
      using L = decltype(layout);
      launch(transposed ? backward<T, L, true> : backward<T, L, false>, grid(p), kWarps * kWarp, p);
    });
    add_up(p, p.partial_sums, 1, p.sums, {nullptr, 0}, launch);
    if (transposed) add_up(p, p.partial_out, p.features, p.out, {nullptr, 0}, launch);
  });
  return {sums, out};
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) {
  m.impl("gat_aggregate_backward", TORCH_BOX(&infgrand::gat_aggregate_backward));
}
