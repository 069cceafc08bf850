#include "../attention.h"
#include "warp.h"

#include <cmath>
#include <tuple>

namespace infgrand {
namespace {

constexpr int kWarps = 8;  // of a block

// A warp owns one head of a row. Its lanes take 32 neighbours at a time for the scores, and the
// features of one neighbour after the other for the sums.
template <typename T>
struct Attention {
  RowPointers pointer;
  Buffer<const int32_t> indices;
  int64_t num_cols, heads, features;
  Buffer<const T> source, target;
  T slope;
  Dropout<T> dropout;

  __device__ T leaky(T v) const { return v > 0 ? v : slope * v; }

  // The column of an edge, or -1 where there is none: it makes NaN.
  __device__ int64_t column(int64_t e) const {
    const int64_t j = indices[e];
    return j >= 0 && j < num_cols ? j : -1;
  }

  __device__ T score(int64_t i, int64_t j, int64_t h) const {
    return source[j * heads + h] + target[i * heads + h];
  }
};

template <typename T>
struct Forward : Attention<T> {
  Buffer<const T> x;
  Buffer<T> y, normalizer;
};

template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp) forward(Forward<T> p) {
  const int64_t item = warp_id(kWarps), H = p.heads, F = p.features;
  if (item >= p.pointer.num_rows * H) return;
  const int64_t i = item / H, h = item % H;
  const int64_t begin = p.pointer(i), end = p.pointer(i + 1);
  const int lane = lane_id();

  T largest = -INFINITY, total = 0;
  for (int64_t e = begin + lane; e < end; e += kWarp) {
    const int64_t j = p.column(e);
    const T s = j < 0 ? T(NAN) : p.leaky(p.score(i, j, h));
    if (s > largest) {
      total *= exp(largest - s);
      largest = s;
    }
    total += exp(s - largest);
  }
  const T all = warp_max(largest);
  total = warp_sum(total > 0 ? total * exp(largest - all) : total);  // no neighbour: 0, not NaN
  const T normalizer = all + log(total);
  if (lane == 0) p.normalizer[item] = normalizer;

  for (int64_t d = 0; d < F; d += kWarp) {
    T sum = 0;
    for (int64_t e = begin; e < end; e += kWarp) {
      int64_t mine = -1;
      T w = NAN;
      if (e + lane < end && (mine = p.column(e + lane)) >= 0)
        w = exp(p.leaky(p.score(i, mine, h)) - normalizer) * p.dropout(i, mine, h, H);
#pragma unroll 4
      for (int k = 0; k < kWarp && e + k < end; ++k) {
        const int64_t j = __shfl_sync(kAllLanes, mine, k);
        const T weight = __shfl_sync(kAllLanes, w, k);
        if (d + lane < F) sum += weight * (j < 0 ? T(0) : p.x[(j * H + h) * F + d + lane]);
      }
    }
    if (d + lane < F) p.y[item * F + d + lane] = sum;
  }
}

template <typename T>
struct Backward : Attention<T> {
  Buffer<const T> own, other, normalizer, delta;
  bool transposed;
  Buffer<T> sums, out;
};

constexpr int kHeld = 8;  // numbers of a row that a lane holds; wider rows are passed again

template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp) backward(Backward<T> p) {
  const int64_t item = warp_id(kWarps), H = p.heads, F = p.features;
  if (item >= p.pointer.num_rows * H) return;
  const int64_t r = item / H, h = item % H;
  const int64_t begin = p.pointer(r), end = p.pointer(r + 1);
  const int lane = lane_id();
  const int64_t tiles = F <= kHeld * kWarp || !p.transposed ? 1 : (F - 1) / (kHeld * kWarp) + 1;

  for (int64_t tile = 0; tile < tiles; ++tile) {
    T held[kHeld] = {}, total = 0;
    for (int64_t e = begin; e < end; ++e) {
      const int64_t n = p.column(e);
      if (n < 0) {
        total = NAN;
        continue;
      }
      const int64_t i = p.transposed ? n : r, j = p.transposed ? r : n;
      const T score = p.score(i, j, h);
      const T alpha = exp(p.leaky(score) - p.normalizer[i * H + h]);
      const T w = alpha * p.dropout(i, j, h, H);
      T dot = 0;
      for (int64_t d = lane; d < F; d += kWarp)
        dot += p.own[item * F + d] * p.other[(n * H + h) * F + d];
      const T ds = w * warp_sum(dot) - alpha * p.delta[i * H + h];
      total += score > 0 ? ds : p.slope * ds;
      if (!p.transposed) continue;
#pragma unroll
      for (int k = 0; k < kHeld; ++k) {
        const int64_t d = (tile * kHeld + k) * kWarp + lane;
        if (d < F) held[k] += w * p.other[(n * H + h) * F + d];
      }
    }
    if (lane == 0 && tile == 0) p.sums[item] = total;
    if (!p.transposed) continue;
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const int64_t d = (tile * kHeld + k) * kWarp + lane;
      if (d < F) p.out[item * F + d] = total == total ? held[k] : T(NAN);
    }
  }
}

template <typename T>
Attention<T> attention_of(const Tensor& indptr, const Tensor& indices, const Tensor& other,
                          const Tensor& source, const Tensor& target, double slope,
                          double dropout, int64_t seed) {
  return {{reading<int64_t>(indptr), indptr.size(0) - 1, indices.size(0)},
          reading<int32_t>(indices),
          other.size(0),
          other.size(1),
          other.size(2),
          reading<T>(source),
          reading<T>(target),
          static_cast<T>(slope),
          {dropout, seed}};
}

std::tuple<Tensor, Tensor> gat_aggregate(const Tensor& indptr, const Tensor& indices,
                                         const Tensor& x, const Tensor& source,
                                         const Tensor& target, double slope, double dropout,
                                         int64_t seed, const std::optional<Tensor>&,
                                         const std::optional<Tensor>&) {
  check_aggregate("infgrand::gat_aggregate", indptr, indices, x, source, target, dropout);
  const Launcher launch(x);
  const int64_t rows = indptr.size(0) - 1, H = x.size(1), F = x.size(2);
  const int64_t y_shape[] = {rows, H, F}, normalizer_shape[] = {rows, H};
  Tensor y = torch::stable::new_empty(x, y_shape);
  Tensor normalizer = torch::stable::new_empty(x, normalizer_shape);
  if (rows * H == 0) return {y, normalizer};
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Forward<T> p{
        attention_of<T>(indptr, indices, x, source, target, slope, dropout, seed),
        reading<T>(x), writing<T>(y), writing<T>(normalizer)};
    launch(forward<T>, dim3(blocks(rows * H, kWarps)), kWarps * kWarp, p);
  });
  return {y, normalizer};
}

std::tuple<Tensor, Tensor> gat_aggregate_backward(
    const Tensor& indptr, const Tensor& indices, const Tensor& own, const Tensor& other,
    const Tensor& source, const Tensor& target, const Tensor& normalizer, const Tensor& delta,
    double slope, double dropout, int64_t seed, bool transposed) {
  check_aggregate_backward("infgrand::gat_aggregate_backward", indptr, indices, own, other, source,
                           target, normalizer, delta, dropout, transposed);
  const Launcher launch(own);
  const int64_t rows = own.size(0), H = own.size(1), F = own.size(2);
  const int64_t sums_shape[] = {rows, H}, out_shape[] = {transposed ? rows : 0, H, F};
  Tensor sums = torch::stable::new_empty(own, sums_shape);
  Tensor out = torch::stable::new_empty(own, out_shape);
  if (rows * H == 0) return {sums, out};
  for_float_or_double(own, [&](auto type) {
    using T = decltype(type);
    const Backward<T> p{
        attention_of<T>(indptr, indices, other, source, target, slope, dropout, seed),
        reading<T>(own), reading<T>(other), reading<T>(normalizer), reading<T>(delta),
        transposed, writing<T>(sums), writing<T>(out)};
    launch(backward<T>, dim3(blocks(rows * H, kWarps)), kWarps * kWarp, p);
  });
  return {sums, out};
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) {
  m.impl("gat_aggregate", TORCH_BOX(&infgrand::gat_aggregate));
  m.impl("gat_aggregate_backward", TORCH_BOX(&infgrand::gat_aggregate_backward));
}
