#include "attention.h"

#include <tuple>

namespace infgrand {
namespace {

template <typename T>
struct Forward : Attention<T> {
  Buffer<const T> x;
  Buffer<T> y, normalizer;
  Partial<T> partial;
};

template <typename T, typename Layout>
__global__ void __launch_bounds__(kWarps* kWarp, kResident) forward(Forward<T> p) {
  const Place<Layout> at(p);
  if (at.row < 0) return;
  const T target = at.active ? p.target[at.row * p.heads + at.h] : T(0);
  for (int pass = 0; pass < p.passes; ++pass) {
    const Features<Layout> features(p, at, pass);
    T largest = -INFINITY, total = 0;
    Sum<T, Layout> sum;
    const auto shrink = [&](T higher) {  // now relative to a higher score
      const T factor = exp(largest - reference(higher));
      total *= factor;
      sum.change([&](T v) { return v * factor; });
      largest = higher;
    };
    for (int64_t e = at.begin; e < at.end; e += kUnroll * Layout::kSlots) {
      Neighbours<T, Layout> next(p, e, at.end);
      T score[kUnroll];
      next.find(p, p.source, at.h, score);
      next.find(p, p.x, features);
      T higher = largest;
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        score[u] = next.score(p, u, score[u] + target);
        higher = larger(higher, score[u]);
      }
      shrink(higher);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const T w = exp(score[u] - reference(largest));
        total += w;
        sum.add(next.rows[u], w * p.dropout(at.row, next.id[u], at.h, p.heads));
      }
    }
    if (Layout::kSlots > 1) {
      shrink(slot_max<Layout>(largest));
      total = slot_sum<Layout>(total);
      sum.change(slot_sum<Layout, T>);
    }
    if (!at.active || at.slot > 0) continue;
    const bool first = pass == 0 && at.position == 0;
    const int64_t head = at.item * p.heads + at.h;
    if (at.piece) {
      sum.write(p, p.partial.sums, at.item, features);
      if (first) p.partial.largest[head] = largest, p.partial.total[head] = total;
    } else {
      const T factor = at.begin < at.end ? 1 / total : T(0);  // no neighbour: 0, not NaN
      sum.change([&](T v) { return v * factor; });
      sum.write(p, p.y, at.item, features);
      if (first) p.normalizer[head] = largest + log(total);
    }
  }
}

std::tuple<Tensor, Tensor> gat_aggregate(const Tensor& indptr, const Tensor& indices,
                                         const Tensor& x, const Tensor& source,
                                         const Tensor& target, double slope, double dropout,
                                         int64_t seed, const std::optional<Tensor>& schedule,
                                         const std::optional<Tensor>&, const std::optional<Tensor>&,
                                         const std::optional<Tensor>&) {
  const char* op = "infgrand::gat_aggregate";
  check_aggregate(op, indptr, indices, x, source, target, dropout);
  const Launcher launch(x);
  const int64_t rows = indptr.size(0) - 1, H = x.size(1), F = x.size(2);
  const int64_t y_shape[] = {rows, H, F}, normalizer_shape[] = {rows, H};
  Tensor y = torch::stable::new_empty(x, y_shape);
  Tensor normalizer = torch::stable::new_empty(x, normalizer_shape);
  if (rows * H * F == 0) return {y, torch::stable::zero_(normalizer)};
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    Forward<T> p{
        attention_of<T>(op, indptr, indices, schedule, x, source, target, slope, dropout, seed),
        reading<T>(x), writing<T>(y), writing<T>(normalizer)};
    const int64_t sums = p.schedule.count * H * F, heads = p.schedule.count * H;
    const int64_t shape[] = {sums + 2 * heads};
    const Tensor held = torch::stable::new_empty(x, shape);
    T* const data = writing<T>(held).data;
    p.partial = {{data, sums}, {data + sums, heads}, {data + sums + heads, heads}};
    for_layout(p, {p.x.data, p.y.data}, [&](auto layout) {
      launch(forward<T, decltype(layout)>, grid(p), kWarps * kWarp, p);
    });
    add_up(p, p.partial, p.features, p.y, p.normalizer, launch);
  });
  return {y, normalizer};
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("gat_aggregate", TORCH_BOX(&infgrand::gat_aggregate)); }
