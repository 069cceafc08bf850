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

// A row, or a piece of a long one: some of the entries of a row.
struct Item {
  int64_t row, begin, end;
};

// In which order rows are summed. Rows of more than kLong entries are done in pieces, each by
// threads of its own, that are added up in order afterwards: no atomics, the same bits every time.
//
// The list (CSRGraph.schedule) names row and entries of each piece, then of all rows, the longest
// first: what neighbouring threads do takes equally long, and nothing long comes last. Where there
// is no list, rows come as they are numbered and none is cut. Numbers out of range make a wrong
// result, never a read outside.
struct Schedule {
  static constexpr int64_t kLong = 512;  // as in csr.py
  RowPointers pointer;
  Buffer<const int64_t> list;
  int64_t count;  // of pieces

  __device__ bool cut(const Item& row) const { return count > 0 && row.end - row.begin > kLong; }

  __device__ Item piece(int64_t k) const { return listed(k); }

  // The k-th to be done; none: its number is -1.
  __device__ Item row(int64_t k) const {
    if (k >= pointer.num_rows) return {-1, 0, 0};
    return list.data ? listed(count + k) : Item{k, pointer(k), pointer(k + 1)};
  }

  // How many pieces the row has that begins with this one, all of one length but the last; 0 where
  // none begins.
  __device__ int64_t following(int64_t k) const {
    const Item first = piece(k);
    const int64_t length = first.end - first.begin;
    if (first.begin != pointer(first.row) || length <= 0) return 0;
    const int64_t all = (pointer(first.row + 1) - first.begin + length - 1) / length;
    return all < count - k ? all : count - k;
  }

 private:
  __device__ Item listed(int64_t k) const {
    const int64_t word = list[2 * k], begin = within(list[2 * k + 1], pointer.num_edges);
    return {within(word & 0xffffffff, pointer.num_rows - 1), begin,
            within(begin + (word >> 32), pointer.num_edges)};
  }
  __device__ static int64_t within(int64_t v, int64_t last) {
    return v < 0 ? 0 : v < last ? v : last;
  }
};

inline Schedule schedule_of(const Tensor& indptr, const Tensor& indices,
                            const std::optional<Tensor>& schedule) {
  const int64_t rows = indptr.size(0) - 1;
  const bool given = schedule.has_value() && schedule->size(0) > 0;
  return {{reading<int64_t>(indptr), rows, indices.size(0)},
          given ? reading<int64_t>(schedule) : Buffer<const int64_t>(nullptr, 0),
          given ? schedule->size(0) - rows : 0};
}

}  // namespace infgrand
