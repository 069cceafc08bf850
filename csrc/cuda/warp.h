// What the threads of a warp do together; all 32 take part.
#pragma once

#include "device.h"

namespace infgrand {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffff;

template <typename T>
__device__ T warp_sum(T v) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) v += __shfl_xor_sync(kAllLanes, v, mask);
  return v;
}

template <typename T>
__device__ T warp_max(T v) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, v, mask);
    v = v > other ? v : other;
  }
  return v;
}

__device__ inline int lane_id() { return threadIdx.x % kWarp; }

// The number of this warp in the grid, `warps` of them to a block.
__device__ inline int64_t warp_id(int warps) {
  return static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / kWarp;
}

// Row pointers of a CSR. Out of order they make a wrong result, never a read outside.
struct RowPointers {
  Buffer<const int64_t> indptr;
  int64_t num_rows, num_edges;

  __device__ int64_t operator()(int64_t row) const {
    const int64_t at = indptr[row];
    return at < 0 ? 0 : at < num_edges ? at : num_edges;
  }

  // The last row that begins at or before an edge.
  __device__ int64_t row_of(int64_t edge) const {
    int64_t low = 0, high = num_rows;  // indptr[low] <= edge < indptr[high]
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      ((*this)(middle) <= edge ? low : high) = middle;
    }
    return low;
  }
};

// Rows of more than kLong entries are done in pieces, each by threads of its own, that are added up
// in order afterwards: no atomics, the same bits every time. The list names the row and the first
// entry of each piece (CSRGraph.pieces); where there is none no row is cut. Numbers out of range
// make a wrong result, never a read outside.
struct Pieces {
  static constexpr int64_t kLong = 512;  // as in graph.py
  RowPointers pointer;
  Buffer<const int64_t> list;
  int64_t count;

  __device__ bool cut(int64_t length) const { return count > 0 && length > kLong; }

  __device__ int64_t row(int64_t piece) const {
    return within(list[2 * piece], pointer.num_rows - 1);
  }
  __device__ int64_t begin(int64_t piece) const {
    return within(list[2 * piece + 1], pointer.num_edges);
  }
  __device__ int64_t end(int64_t piece) const {
    const bool last = piece + 1 >= count || row(piece + 1) != row(piece);
    return last ? pointer(row(piece) + 1) : begin(piece + 1);
  }

  // How many pieces the row has that begins with this one, all of one length but the last; 0 where
  // none begins.
  __device__ int64_t following(int64_t piece) const {
    const int64_t first = begin(piece), length = end(piece) - first;
    if (first != pointer(row(piece)) || length <= 0) return 0;
    const int64_t all = (pointer(row(piece) + 1) - first + length - 1) / length;
    return all < count - piece ? all : count - piece;
  }

 private:
  __device__ static int64_t within(int64_t v, int64_t last) {
    return v < 0 ? 0 : v < last ? v : last;
  }
};

inline Pieces pieces_of(const Tensor& indptr, const Tensor& indices,
                        const std::optional<Tensor>& pieces) {
  return {{reading<int64_t>(indptr), indptr.size(0) - 1, indices.size(0)},
          reading<int64_t>(pieces),
          pieces.has_value() ? pieces->size(0) : 0};
}

}  // namespace infgrand
