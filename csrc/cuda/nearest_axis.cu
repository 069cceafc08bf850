#include "tiles.h"

#include <cmath>
#include <tuple>

namespace infgrand {
namespace {

// Each block takes the next kTile rows of x.
template <typename T>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kBlocks)
    nearest(Rows<T> x, Rows<T> axes, Buffer<int64_t> owner, Buffer<T> distance) {
  constexpr int kEach = Tile<T>::kEach, kAcross = Tile<T>::kAcross;
  __shared__ typename Tile<T>::Operands held;
  __shared__ int64_t x_ids[kTile], axis_ids[kTile];
  __shared__ T largest[kAcross][kTile];
  __shared__ int32_t chosen[kAcross][kTile];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTile;
  consecutive(x_ids, begin, x.count);
  T best[kEach];
  int32_t at[kEach];
  for (int a = 0; a < kEach; ++a) best[a] = -INFINITY, at[a] = 0;
  for (int64_t first = 0; first < axes.count; first += kTile) {
    consecutive(axis_ids, first, axes.count);
    T dots[kEach][kEach];
    products(x, x_ids, kTile, axes, axis_ids, held, dots);
    const int stop = axes.count - first < kTile ? axes.count - first : kTile;
#pragma unroll
    for (int b = 0; b < kEach; ++b)
#pragma unroll
      for (int a = 0; a < kEach; ++a)
        if (Tile<T>::column(b) < stop && dots[a][b] > best[a])
          best[a] = dots[a][b], at[a] = first + Tile<T>::column(b);
  }
#pragma unroll
  for (int a = 0; a < kEach; ++a) {
    for (int mask : {1, 16}) {  // of the lanes that share the row
      const T other = __shfl_xor_sync(kAllLanes, best[a], mask);
      const int32_t k = __shfl_xor_sync(kAllLanes, at[a], mask);
      if (other > best[a] || (other == best[a] && k < at[a])) best[a] = other, at[a] = k;
    }
    if (Tile<T>::column(0) % 4 == 0) {
      const int row = Tile<T>::row(a), across = Tile<T>::warp() % kAcross;
      largest[across][row] = best[a], chosen[across][row] = at[a];
    }
  }
  __syncthreads();
  for (int row = Tile<T>::warp(); row < kTile; row += Tile<T>::kThreads / kWarp) {
    if (x_ids[row] < 0) continue;
    T highest = largest[0][row];
    int32_t k = chosen[0][row];
    for (int w = 1; w < kAcross; ++w)
      if (largest[w][row] > highest || (largest[w][row] == highest && chosen[w][row] < k))
        highest = largest[w][row], k = chosen[w][row];
    T sum = 0;
    for (int64_t d = lane_id(); d < x.features; d += kWarp) {
      const T difference = x.data[x_ids[row] * x.features + d] - axes.data[k * axes.features + d];
      sum += difference * difference;
    }
    sum = warp_sum(sum);
    if (lane_id() == 0) owner[x_ids[row]] = k, distance[x_ids[row]] = sqrt(sum);
  }
}

std::tuple<Tensor, Tensor> nearest_axis(const Tensor& x, const Tensor& axes) {
  check_nearest_axis("infgrand::nearest_axis", x, axes);
  const Launcher launch(x);
  const int64_t N = x.size(0), shape[] = {N};
  Tensor owner = torch::stable::new_empty(x, shape, ScalarType::Long);
  Tensor distance = torch::stable::new_empty(x, shape);
  if (N == 0) return {owner, distance};
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    launch(nearest<T>, dim3(blocks(N, kTile)), Tile<T>::kThreads, rows_of<T>(x), rows_of<T>(axes),
           writing<int64_t>(owner), writing<T>(distance));
  });
  return {owner, distance};
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("nearest_axis", TORCH_BOX(&infgrand::nearest_axis)); }
