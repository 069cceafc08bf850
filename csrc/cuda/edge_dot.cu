#include "warp.h"

#include <cmath>

namespace infgrand {
namespace {

constexpr int kWarps = 8;  // of a block

template <typename T>
struct Dots {
  RowPointers pointer;
  Buffer<const int32_t> indices;
  Buffer<const T> x, y;
  int64_t num_cols, features;
  Buffer<T> dots;
};

// A warp takes 32 neighbouring edges, one after the other, its lanes the features of their rows;
// lane k keeps and stores the product of edge k. A column that does not exist makes NaN.
template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp) all_edges(Dots<T> p) {
  const int64_t first = warp_id(kWarps) * kWarp, E = p.pointer.num_edges, D = p.features;
  if (first >= E) return;
  const int lane = lane_id();
  const int64_t mine = first + lane;
  const int64_t my_row = p.pointer.row_of(mine < E ? mine : E - 1);
  const int64_t my_col = p.indices[mine < E ? mine : E - 1];
  T kept = 0;
  for (int k = 0; k < kWarp && first + k < E; ++k) {
    const int64_t i = __shfl_sync(kAllLanes, my_row, k), j = __shfl_sync(kAllLanes, my_col, k);
    T sum = 0;
    if (j < 0 || j >= p.num_cols) sum = NAN;
    else
      for (int64_t d = lane; d < D; d += kWarp) sum += p.x[i * D + d] * p.y[j * D + d];
    sum = warp_sum(sum);
    if (lane == k) kept = sum;
  }
  if (mine < E) p.dots[mine] = kept;
}

Tensor edge_dot(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& y,
                const std::optional<Tensor>&) {
  check_edge_dot("infgrand::edge_dot", indptr, indices, x, y);
  const Launcher launch(x);
  const int64_t E = indices.size(0), shape[] = {E};
  Tensor dots = torch::stable::new_empty(x, shape);
  if (E == 0) return dots;
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Dots<T> p{{reading<int64_t>(indptr), x.size(0), E},
                    reading<int32_t>(indices),
                    reading<T>(x),
                    reading<T>(y),
                    y.size(0),
                    x.size(1),
                    writing<T>(dots)};
    launch(all_edges<T>, dim3(blocks(E, kWarps * kWarp)), kWarps * kWarp, p);
  });
  return dots;
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("edge_dot", TORCH_BOX(&infgrand::edge_dot)); }
