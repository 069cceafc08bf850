// The two passes over all rows that the minimum cosine needs (ops/min_cosine.py says why), in tiles
// of inner products whose operands pass through shared memory.
#include "../min_cosine.h"
#include "warp.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace infgrand {
namespace {

constexpr int kTile = 64;  // rows of either side of a tile
constexpr int kEach = 4;   // a thread's rows, and columns, of a tile
constexpr int kSide = kTile / kEach;
constexpr int kThreads = kSide * kSide;
constexpr int kDepth = 16;      // features in shared memory at once
constexpr int kPadded = kTile + 4;  // spreads a column over the banks, and keeps rows aligned
constexpr int kGroup = 1024;    // rows of x that a block of the scan takes
constexpr int64_t kSpan = 2048;  // members that it takes
constexpr int64_t kWorkspace = 1 << 24;  // inner products with axes that are held at once

template <typename T>
struct Rows {
  Buffer<const T> data;
  int64_t count, features;
};

template <typename T>
Rows<T> rows_of(const Tensor& x) {
  return {reading<T>(x), x.size(0), x.size(1)};
}

template <typename T>
struct Operands {
  T x[kDepth][kPadded], y[kDepth][kPadded];
};

// Row 4·ty + a of the tile with row 4·tx + b, for thread (tx, ty). A row id of -1 makes zeros.
// All threads of the block take part, and the ids may change once they are back.
template <typename T>
__device__ void products(const Rows<T>& x, const int64_t (&x_ids)[kTile], const Rows<T>& y,
                         const int64_t (&y_ids)[kTile], Operands<T>& held,
                         T (&dots)[kEach][kEach]) {
  const int tx = threadIdx.x % kSide, ty = threadIdx.x / kSide;
  for (int a = 0; a < kEach; ++a)
    for (int b = 0; b < kEach; ++b) dots[a][b] = 0;
  for (int64_t first = 0; first < x.features; first += kDepth) {
    __syncthreads();
    for (int n = threadIdx.x; n < kTile * kDepth; n += kThreads) {
      const int row = n / kDepth, d = n % kDepth;
      const bool inside = first + d < x.features;
      const int64_t i = x_ids[row], j = y_ids[row];
      held.x[d][row] = inside && i >= 0 ? x.data[i * x.features + first + d] : T(0);
      held.y[d][row] = inside && j >= 0 ? y.data[j * y.features + first + d] : T(0);
    }
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
#pragma unroll
      for (int a = 0; a < kEach; ++a)
#pragma unroll
        for (int b = 0; b < kEach; ++b)
          dots[a][b] += held.x[d][kEach * ty + a] * held.y[d][kEach * tx + b];
  }
  __syncthreads();
}

// ids = first, first + 1, ... while below count, then -1.
__device__ void consecutive(int64_t (&ids)[kTile], int64_t first, int64_t count) {
  if (threadIdx.x < kTile) ids[threadIdx.x] = first + threadIdx.x < count ? first + threadIdx.x : -1;
  __syncthreads();
}

// Each block takes the next kTile rows of x.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    nearest(Rows<T> x, Rows<T> axes, Buffer<int64_t> owner, Buffer<T> distance) {
  __shared__ Operands<T> held;
  __shared__ int64_t x_ids[kTile], axis_ids[kTile], chosen[kTile];
  const int tx = threadIdx.x % kSide, ty = threadIdx.x / kSide;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTile;
  consecutive(x_ids, begin, x.count);
  T best[kEach];
  int64_t at[kEach];
  for (int64_t first = 0; first < axes.count; first += kTile) {
    consecutive(axis_ids, first, axes.count);
    T dots[kEach][kEach];
    products(x, x_ids, axes, axis_ids, held, dots);
    for (int a = 0; a < kEach; ++a)
      for (int b = 0; b < kEach; ++b) {
        const int64_t k = first + kEach * tx + b;
        if (first + b == 0 || (k < axes.count && dots[a][b] > best[a])) {
          best[a] = k < axes.count ? dots[a][b] : T(-INFINITY);
          at[a] = k < axes.count ? k : 0;
        }
      }
  }
  for (int a = 0; a < kEach; ++a) {
    for (int mask = kSide / 2; mask > 0; mask /= 2) {  // of the threads that share the row
      const T other = __shfl_xor_sync(kAllLanes, best[a], mask);
      const int64_t k = __shfl_xor_sync(kAllLanes, at[a], mask);
      if (other > best[a] || (other == best[a] && k < at[a])) best[a] = other, at[a] = k;
    }
    if (tx == 0) chosen[kEach * ty + a] = at[a];
  }
  __syncthreads();
  for (int row = threadIdx.x / kWarp; row < kTile; row += kThreads / kWarp) {
    if (x_ids[row] < 0) continue;
    T sum = 0;
    for (int64_t d = lane_id(); d < x.features; d += kWarp) {
      const T difference = x.data[x_ids[row] * x.features + d] -
                           axes.data[chosen[row] * x.features + d];
      sum += difference * difference;
    }
    sum = warp_sum(sum);
    if (lane_id() == 0) owner[x_ids[row]] = chosen[row], distance[x_ids[row]] = sqrt(sum);
  }
}

// out[k, i - first] = x_i . axis_k for the `count` rows from `first` on.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    along_axes(Rows<T> x, Rows<T> axes, int64_t first, int64_t count, Buffer<T> out) {
  __shared__ Operands<T> held;
  __shared__ int64_t x_ids[kTile], axis_ids[kTile];
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t axis = static_cast<int64_t>(blockIdx.y) * kTile;
  consecutive(axis_ids, axis, axes.count);
  consecutive(x_ids, first + row, first + count);
  T dots[kEach][kEach];
  products(axes, axis_ids, x, x_ids, held, dots);  // neighbouring threads hold neighbouring rows
  for (int a = 0; a < kEach; ++a)
    for (int b = 0; b < kEach; ++b) {
      const int64_t k = axis + threadIdx.x / kSide * kEach + a;
      const int64_t i = row + threadIdx.x % kSide * kEach + b;
      if (k < axes.count && i < count) out[k * count + i] = dots[a][b];
    }
}

// The least inner product so far, in float64; of equal ones the first pair.
struct Best {
  double value;
  int64_t i, j;

  __device__ void offer(double v, int64_t row, int64_t col) {
    if (v < value || (v == value && i >= 0 && row >= 0 && (row < i || (row == i && col < j))))
      value = v, i = row, j = col;
  }
};

template <typename T>
struct Cones {
  RowPointers pointer;  // to the members of each cone
  Buffer<const int32_t> members;
  Buffer<const T> limits;
  Rows<T> x, y;
  double value, eps;

  __device__ int64_t member(int64_t at) const {
    const int64_t j = members[at];
    return j >= 0 && j < y.count ? j : -1;
  }
};

// What a block has found, and how many pairs it met.
struct Found {
  Buffer<double> value;
  Buffer<int64_t> i, j, evaluated;
};

// Rows of a group that are left, in order.
template <typename T>
struct Left {
  int32_t row[kGroup];
  T dot[kGroup];  // with the axis
  int32_t of_warp[kThreads / kWarp];

  // Keeps the first `count` whose product is not above the limit; returns how many they are.
  __device__ int compact(int count, T limit) {
    constexpr int kOwn = kGroup / kThreads;
    int32_t own_row[kOwn];
    T own_dot[kOwn];
    int kept = 0;
    for (int n = 0; n < kOwn; ++n) {
      const int at = threadIdx.x * kOwn + n;
      if (at < count && dot[at] <= limit) {
        own_row[kept] = row[at];
        own_dot[kept++] = dot[at];
      }
    }
    int before = kept;  // in the threads up to this one: of the warp, then of all
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = __shfl_sync(kAllLanes, before, lane_id() >= step ? lane_id() - step : 0);
      if (lane_id() >= step) before += other;
    }
    if (lane_id() == kWarp - 1) of_warp[threadIdx.x / kWarp] = before;
    __syncthreads();
    int total = 0;
    for (int w = 0; w < kThreads / kWarp; ++w) {
      if (w == static_cast<int>(threadIdx.x) / kWarp) before += total;
      total += of_warp[w];
    }
    for (int n = 0; n < kept; ++n) {
      row[before - kept + n] = own_row[n];
      dot[before - kept + n] = own_dot[n];
    }
    __syncthreads();
    return total;
  }
};

// Block (g, s) takes group g of the rows from `first` on, whose products with the axes are
// `along`, and span s of the members.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    scan(Cones<T> p, int64_t first, int64_t count, Buffer<const T> along, Found found,
         int64_t found_at) {
  __shared__ Operands<T> held;
  __shared__ Left<T> left;
  __shared__ int64_t x_ids[kTile], y_ids[kTile];
  __shared__ Best of_warp[kThreads / kWarp];
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kGroup;
  const int64_t span = static_cast<int64_t>(blockIdx.y) * kSpan;
  const int64_t total = p.pointer.num_edges;
  const int64_t stop = span + kSpan < total ? span + kSpan : total;
  Best best{p.value, -1, -1};
  int64_t evaluated = 0;
  for (int64_t k = p.pointer.row_of(span); k < p.pointer.num_rows && p.pointer(k) < stop; ++k) {
    const int64_t begin = p.pointer(k) > span ? p.pointer(k) : span;
    const int64_t end = p.pointer(k + 1) < stop ? p.pointer(k + 1) : stop;
    if (begin >= end) continue;
    __syncthreads();
    int many = count - group < kGroup ? static_cast<int>(count - group) : kGroup;
    for (int n = threadIdx.x; n < many; n += kThreads) {
      left.row[n] = n;
      left.dot[n] = along[k * count + group + n];
    }
    __syncthreads();
    for (int64_t at = begin; at < end; at += kTile) {
      many = left.compact(many, p.limits[at]);
      if (many == 0) break;
      const int64_t members = end - at < kTile ? end - at : kTile;
      evaluated += many * members;
      for (int n = 0; n < many; n += kTile) {
        if (threadIdx.x < kTile) {
          const int t = threadIdx.x;
          x_ids[t] = n + t < many ? first + group + left.row[n + t] : -1;
          y_ids[t] = t < members ? p.member(at + t) : -1;
        }
        __syncthreads();
        T dots[kEach][kEach];
        products(p.x, x_ids, p.y, y_ids, held, dots);
        for (int a = 0; a < kEach; ++a)
          for (int b = 0; b < kEach; ++b) {
            const int64_t i = x_ids[threadIdx.x / kSide * kEach + a];
            const int64_t j = y_ids[threadIdx.x % kSide * kEach + b];
            // Whatever rounding may hide below the best value is looked at again in float64.
            if (i < 0 || j < 0 || dots[a][b] > best.value + p.eps) continue;
            double exact = 0;
            for (int64_t d = 0; d < p.x.features; ++d)
              exact += static_cast<double>(p.x.data[i * p.x.features + d]) *
                       p.y.data[j * p.x.features + d];
            best.offer(exact, i, j);
          }
        __syncthreads();
      }
    }
  }
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const double value = __shfl_xor_sync(kAllLanes, best.value, mask);
    const int64_t i = __shfl_xor_sync(kAllLanes, best.i, mask);
    const int64_t j = __shfl_xor_sync(kAllLanes, best.j, mask);
    best.offer(value, i, j);
  }
  if (lane_id() == 0) of_warp[threadIdx.x / kWarp] = best;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (const Best& other : of_warp) best.offer(other.value, other.i, other.j);
  const int64_t out = found_at + static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  found.value[out] = best.value;
  found.i[out] = best.i, found.j[out] = best.j, found.evaluated[out] = evaluated;
}

// One warp: (i, j, pairs evaluated) of all blocks.
__global__ void __launch_bounds__(kWarp)
    merge(Found found, int64_t blocks, double value, Buffer<int64_t> out) {
  Best best{value, -1, -1};
  int64_t evaluated = 0;
  for (int64_t n = lane_id(); n < blocks; n += kWarp) {
    best.offer(found.value[n], found.i[n], found.j[n]);
    evaluated += found.evaluated[n];
  }
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const double other = __shfl_xor_sync(kAllLanes, best.value, mask);
    const int64_t i = __shfl_xor_sync(kAllLanes, best.i, mask);
    const int64_t j = __shfl_xor_sync(kAllLanes, best.j, mask);
    best.offer(other, i, j);
  }
  evaluated = warp_sum(evaluated);
  if (lane_id() == 0) out[0] = best.i, out[1] = best.j, out[2] = evaluated;
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
    launch(nearest<T>, dim3(blocks(N, kTile)), kThreads, rows_of<T>(x), rows_of<T>(axes),
           writing<int64_t>(owner), writing<T>(distance));
  });
  return {owner, distance};
}

Tensor min_over_cones(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& y,
                      const Tensor& axes, const Tensor& limits, const Tensor& directions,
                      double value, double eps) {
  check_min_over_cones("infgrand::min_over_cones", indptr, indices, x, y, axes, limits, directions);
  const Launcher launch(x);
  const int64_t N = x.size(0), K = axes.size(0), M = indices.size(0), three[] = {3};
  const Tensor out = torch::stable::new_empty(x, three, ScalarType::Long);
  const int64_t chunk = std::max<int64_t>(kGroup, kWorkspace / K / kGroup * kGroup);
  const int64_t spans = (M + kSpan - 1) / kSpan, groups = (N + kGroup - 1) / kGroup;
  const int64_t shape[] = {spans * groups};
  const Tensor values = torch::stable::new_empty(x, shape, ScalarType::Double);
  const auto ids = [&] { return torch::stable::new_empty(x, shape, ScalarType::Long); };
  const Tensor i = ids(), j = ids(), evaluated = ids();
  const Found found{writing<double>(values), writing<int64_t>(i), writing<int64_t>(j),
                    writing<int64_t>(evaluated)};
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Cones<T> cones{{reading<int64_t>(indptr), K, M}, reading<int32_t>(indices),
                         reading<T>(limits), rows_of<T>(x), rows_of<T>(y), value, eps};
    const int64_t held[] = {std::min(chunk, N) * K};
    const Tensor workspace = torch::stable::new_empty(x, held);
    for (int64_t first = 0; first < N && M > 0; first += chunk) {
      const int64_t count = std::min(chunk, N - first);
      launch(along_axes<T>, dim3(blocks(count, kTile), blocks(K, kTile)), kThreads, cones.x,
             rows_of<T>(axes), first, count, writing<T>(workspace));
      launch(scan<T>, dim3(blocks(count, kGroup), static_cast<unsigned>(spans)), kThreads, cones,
             first, count, reading<T>(workspace), found, first / kGroup * spans);
    }
  });
  launch(merge, dim3(1), kWarp, found, spans * groups, value, writing<int64_t>(out));
  return out;
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) {
  m.impl("nearest_axis", TORCH_BOX(&infgrand::nearest_axis));
  m.impl("min_over_cones", TORCH_BOX(&infgrand::min_over_cones));
}
