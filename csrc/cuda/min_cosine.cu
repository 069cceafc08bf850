// The two passes over all rows that the minimum cosine needs (influence/minimum.py says why), in
// tiles of inner products whose operands pass through shared memory.
#include "../min_cosine.h"
#include "warp.h"

#ifndef INFGRAND_EMULATED
#include <cuda_pipeline_primitives.h>
#endif

#include <algorithm>
#include <cmath>
#include <tuple>

namespace infgrand {
namespace {

constexpr int kTile = 64;                // rows of either side of a tile
constexpr int kGroup = 1024;             // rows of x that a block of the scan takes
constexpr int64_t kSpan = 2048;          // members that it takes
constexpr int64_t kWorkspace = 1 << 24;  // inner products with axes that are held at once

template <typename T>
struct Rows {
  Buffer<const T> data;
  int64_t count, features;
  bool aligned;  // to 16 bytes, each of them
};

template <typename T>
Rows<T> rows_of(const Tensor& x) {
  const auto start = reinterpret_cast<size_t>(x.const_data_ptr());
  return {reading<T>(x), x.size(0), x.size(1), start % 16 == 0 && x.size(1) * sizeof(T) % 16 == 0};
}

// How the threads of a block share a tile: each has kEach rows and columns, which lie apart so that
// a warp reads 8 neighbouring rows, or 4 columns, from different banks.
template <typename T>
struct Tile {
  static constexpr int kEach = 32 / sizeof(T);
  static constexpr int kThreads = kTile / kEach * kTile / kEach;
  static constexpr int kChunk = 16 / sizeof(T);        // features that are moved at once
  static constexpr int kDepth = 4 * kChunk;            // features in shared memory at once
  static constexpr int kStride = kDepth + kChunk;      // of rows there: an odd number of chunks
  static constexpr int kAcross = kTile / (4 * kEach);  // warps side by side
  static constexpr int kDown = kTile / (8 * kEach);
  static constexpr int kBlocks = sizeof(T) == 4 ? 7 : 2;  // that a multiprocessor should hold

  // Lanes that differ in bit 0 share a row, those that differ in bit 1 a column: such loads of 16
  // bytes are served for half a warp at once.
  __device__ static int row(int a) {
    return (lane_id() >> 1 & 7) + 8 * (warp() / kAcross + kDown * a);
  }
  __device__ static int column(int b) {
    return ((lane_id() & 1) | (lane_id() >> 3 & 2)) + 4 * (warp() % kAcross + kAcross * b);
  }
  __device__ static int warp() { return threadIdx.x / kWarp; }

  using Slice = T[kTile][kStride];
  struct Operands {
    alignas(16) Slice x[2], y[2];  // the slice in use, and the next one
  };
  using Dots = T[kEach][kEach];
  using Ids = int64_t[kTile];
};

// Asks for features [first, first + kDepth) of rows, kCount at a time. A row id of -1 makes zeros.
template <int kCount, typename T>
__device__ void fetch(const Rows<T>& rows, const int64_t (&ids)[kTile], int64_t first,
                      typename Tile<T>::Slice& to) {
  constexpr int kThreads = Tile<T>::kThreads, kAcross = Tile<T>::kDepth / kCount;
  constexpr size_t kSize = kCount * sizeof(T);
  const int d = threadIdx.x % kAcross * kCount, begin = threadIdx.x / kAcross;
  const bool inside = first + d < rows.features;
#pragma unroll 4
  for (int n = 0; n < kTile; n += kThreads / kAcross) {
    const int64_t id = ids[begin + n];
    const bool exists = inside && id >= 0;
    const int64_t at = exists ? id * rows.features + first + d : 0;
    __pipeline_memcpy_async(&to[begin + n][d], rows.data.at(at, kCount), kSize, exists ? 0 : kSize);
  }
}

// Adds the products of the first kRows of a thread's rows along `depth` features.
template <int kRows, typename T>
__device__ void add_products(const typename Tile<T>::Slice& x, const typename Tile<T>::Slice& y,
                             int depth, T (&dots)[Tile<T>::kEach][Tile<T>::kEach]) {
  constexpr int kEach = Tile<T>::kEach, kChunk = Tile<T>::kChunk;
  using Chunk = Pack<T, kChunk>;
#pragma unroll 1
  for (int d = 0; d < depth; d += kChunk) {
    Chunk columns[kEach];
#pragma unroll
    for (int b = 0; b < kEach; ++b)
      columns[b] = *reinterpret_cast<const Chunk*>(&y[Tile<T>::column(b)][d]);
#pragma unroll
    for (int a = 0; a < kRows; ++a) {
      const Chunk row = *reinterpret_cast<const Chunk*>(&x[Tile<T>::row(a)][d]);
#pragma unroll
      for (int n = 0; n < kChunk; ++n)
#pragma unroll
        for (int b = 0; b < kEach; ++b) dots[a][b] += row.value[n] * columns[b].value[n];
    }
  }
}

// The products of the first `count` rows of a tile with all its columns: dots[a][b] is that of row
// Tile::row(a) with column Tile::column(b). All threads of the block take part, and the ids may
// change once they are back.
template <typename T>
__device__ void products(const Rows<T>& x, const int64_t (&x_ids)[kTile], int count,
                         const Rows<T>& y, const int64_t (&y_ids)[kTile],
                         typename Tile<T>::Operands& held,
                         T (&dots)[Tile<T>::kEach][Tile<T>::kEach]) {
  constexpr int kEach = Tile<T>::kEach, kDepth = Tile<T>::kDepth;
#pragma unroll
  for (int a = 0; a < kEach; ++a)
#pragma unroll
    for (int b = 0; b < kEach; ++b) dots[a][b] = 0;
  const auto ask = [&](const Rows<T>& rows, const int64_t (&ids)[kTile], int64_t first,
                       typename Tile<T>::Slice& to) {
    if (first >= rows.features) return;
    if (rows.aligned) fetch<Tile<T>::kChunk>(rows, ids, first, to);
    else fetch<1>(rows, ids, first, to);
  };
  int slot = 0;
  for (int64_t first = -kDepth; first < x.features; first += kDepth, slot ^= 1) {
    __pipeline_wait_prior(0);
    __syncthreads();  // all have this slice, and none uses the one before
    ask(x, x_ids, first + kDepth, held.x[slot ^ 1]);
    ask(y, y_ids, first + kDepth, held.y[slot ^ 1]);
    __pipeline_commit();
    if (first < 0) continue;
    const int64_t left = x.features - first;
    const int depth = left < kDepth ? left : kDepth;
    if (count <= kTile / 4) add_products<kEach / 4>(held.x[slot], held.y[slot], depth, dots);
    else if (count <= kTile / 2) add_products<kEach / 2>(held.x[slot], held.y[slot], depth, dots);
    else add_products<kEach>(held.x[slot], held.y[slot], depth, dots);
  }
  __syncthreads();
}

// ids = first, first + 1, ... while below count, then -1.
__device__ void consecutive(int64_t (&ids)[kTile], int64_t first, int64_t count) {
  if (threadIdx.x < kTile)
    ids[threadIdx.x] = first + threadIdx.x < count ? first + threadIdx.x : -1;
  __syncthreads();
}

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

INFGRAND_REGISTER(m) {
  m.impl("nearest_axis", TORCH_BOX(&infgrand::nearest_axis));
  m.impl("min_over_cones", TORCH_BOX(&infgrand::min_over_cones));
}
