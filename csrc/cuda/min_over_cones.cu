#include "tiles.h"

#include <algorithm>
#include <cmath>

namespace infgrand {
namespace {

constexpr int kGroup = 1024;             // rows of x that a block of the scan takes
constexpr int64_t kSpan = 2048;          // members that it takes
constexpr int64_t kWorkspace = 1 << 24;  // inner products with axes that are held at once

// out[k, i - first] = x_i . axis_k for the `count` rows from `first` on.
template <typename T>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kBlocks)
    along_axes(Rows<T> x, Rows<T> axes, int64_t first, int64_t count, Buffer<T> out) {
  constexpr int kEach = Tile<T>::kEach;
  __shared__ typename Tile<T>::Operands held;
  __shared__ int64_t x_ids[kTile], axis_ids[kTile];
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t axis = static_cast<int64_t>(blockIdx.y) * kTile;
  consecutive(axis_ids, axis, axes.count);
  consecutive(x_ids, first + row, first + count);
  T dots[kEach][kEach];
  products(x, x_ids, kTile, axes, axis_ids, held, dots);
#pragma unroll
  for (int a = 0; a < kEach; ++a)
#pragma unroll
    for (int b = 0; b < kEach; ++b) {
      const int64_t i = row + Tile<T>::row(a), k = axis + Tile<T>::column(b);
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

  __device__ void offer(int64_t i, int64_t j, Best& best) const {
    if (i < 0 || j < 0) return;
    double exact = 0;
    for (int64_t d = 0; d < x.features; ++d)
      exact += static_cast<double>(x.data[i * x.features + d]) * y.data[j * y.features + d];
    best.offer(exact, i, j);
  }
};

// What a block has found, and how many pairs it met.
struct Found {
  Buffer<double> value;
  Buffer<int64_t> i, j, evaluated;
};

// A row of a group, and its product with an axis.
template <typename T>
struct Entry {
  int32_t row;
  T dot;
};

// Rows of a group that are left, in order.
template <typename T>
struct Left {
  Entry<T> entries[kGroup];
  int32_t kept[kGroup / kWarp];  // of each 32 of them

  // Of the first `count` of entry(0), entry(1), ..., which may be the entries, keeps those whose
  // product is not above the limit; returns how many they are.
  template <typename F>
  __device__ int keep(int count, T limit, const F& entry) {
    constexpr int kThreads = Tile<T>::kThreads, kOwn = kGroup / kThreads, kEvery = kThreads / kWarp;
    static_assert(kGroup == kWarp * kWarp);
    const int lane = lane_id(), warp = Tile<T>::warp();
    Entry<T> own[kOwn];
    unsigned votes[kOwn];  // of the lanes that keep theirs
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
      const int at = n * kThreads + threadIdx.x;
      own[n] = at < count ? entry(at) : Entry<T>{0, T(NAN)};
    }
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
      votes[n] = __ballot_sync(kAllLanes, own[n].dot <= limit);
      if (lane == 0) kept[n * kEvery + warp] = __popc(votes[n]);
    }
    __syncthreads();
    const int mine = kept[lane];
    int before = mine;  // those of this lane's 32 and all before
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = __shfl_sync(kAllLanes, before, lane >= step ? lane - step : 0);
      if (lane >= step) before += other;
    }
    const int total = __shfl_sync(kAllLanes, before, kWarp - 1);
    before -= mine;
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
      if (votes[n] == 0) continue;
      const int first = __shfl_sync(kAllLanes, before, n * kEvery + warp);
      if (votes[n] >> lane & 1) entries[first + __popc(votes[n] & ((1u << lane) - 1))] = own[n];
    }
    __syncthreads();
    return total;
  }
};

// Block (g, s) takes group g of the rows from `first` on, whose products with the axes are
// `along`, and span s of the members.
template <typename T>
__global__ void __launch_bounds__(Tile<T>::kThreads, Tile<T>::kBlocks)
    scan(Cones<T> p, int64_t first, int64_t count, Buffer<const T> along, Found found,
         int64_t found_at) {
  constexpr int kEach = Tile<T>::kEach;
  __shared__ typename Tile<T>::Operands held;
  __shared__ Left<T> left;
  __shared__ int64_t x_ids[kTile], y_ids[kTile];
  __shared__ Best of_warp[Tile<T>::kThreads / kWarp];
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kGroup;
  const int64_t span = static_cast<int64_t>(blockIdx.y) * kSpan;
  const int64_t total = p.pointer.num_edges;
  const int64_t stop = span + kSpan < total ? span + kSpan : total;
  Best best{p.value, -1, -1};
  int64_t evaluated = 0;
  for (int64_t k = p.pointer.row_of(span); k < p.pointer.num_rows && p.pointer(k) < stop; ++k) {
    const int64_t begin = p.pointer(k) > span ? p.pointer(k) : span;
    const int64_t end = p.pointer(k + 1) < stop ? p.pointer(k + 1) : stop;
    int many = count - group < kGroup ? static_cast<int>(count - group) : kGroup;
    for (int64_t at = begin; at < end; at += kTile) {
      const auto fresh = [&](int n) { return Entry<T>{n, along[k * count + group + n]}; };
      many = at == begin ? left.keep(many, p.limits[at], fresh)
                         : left.keep(many, p.limits[at], [&](int n) { return left.entries[n]; });
      if (many == 0) break;
      const int64_t members = end - at < kTile ? end - at : kTile;
      evaluated += many * members;
      for (int n = 0; n < many; n += kTile) {
        const int rows = many - n < kTile ? many - n : kTile;
        if (threadIdx.x < kTile) {
          const int t = threadIdx.x;
          x_ids[t] = t < rows ? first + group + left.entries[n + t].row : -1;
          y_ids[t] = t < members ? p.member(at + t) : -1;
        }
        __syncthreads();
        T dots[kEach][kEach];
        products(p.x, x_ids, rows, p.y, y_ids, held, dots);
        // Whatever rounding may hide below the best value is looked at again in float64. (A number
        // that is not above the sum is not above the sum as rounded, either.)
        const T bound = static_cast<T>(best.value + p.eps);
        uint64_t close = 0;
#pragma unroll
        for (int a = 0; a < kEach; ++a)
#pragma unroll
          for (int b = 0; b < kEach; ++b) close |= uint64_t{dots[a][b] <= bound} << (kEach * a + b);
        for (int n = 0; close; ++n, close >>= 1)
          if (close & 1)
            p.offer(x_ids[Tile<T>::row(n / kEach)], y_ids[Tile<T>::column(n % kEach)], best);
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

Tensor min_over_cones(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& y,
                      const Tensor& axes, const Tensor& limits,
                      const std::optional<Tensor>& directions, double value, double eps) {
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
    const Cones<T> cones{{reading<int64_t>(indptr), K, M},
                         reading<int32_t>(indices),
                         reading<T>(limits),
                         rows_of<T>(x),
                         rows_of<T>(y),
                         value,
                         eps};
    const int64_t held[] = {std::min(chunk, N) * K};
    const Tensor workspace = torch::stable::new_empty(x, held);
    for (int64_t first = 0; first < N && M > 0; first += chunk) {
      const int64_t count = std::min(chunk, N - first);
      launch(along_axes<T>, dim3(blocks(count, kTile), blocks(K, kTile)), Tile<T>::kThreads,
             cones.x, rows_of<T>(axes), first, count, writing<T>(workspace));
      launch(scan<T>, dim3(blocks(count, kGroup), static_cast<unsigned>(spans)), Tile<T>::kThreads,
             cones, first, count, reading<T>(workspace), found, first / kGroup * spans);
    }
  });
  launch(merge, dim3(1), kWarp, found, spans * groups, value, writing<int64_t>(out));
  return out;
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("min_over_cones", TORCH_BOX(&infgrand::min_over_cones)); }
