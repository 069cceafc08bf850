// Products of small tiles in registers whose results are used at once, for the two passes over all
// rows that the minimum cosine needs (influence/minimum.py says why).
#pragma once

#include "../min_cosine.h"
#include "csr.h"
#include "vectors.h"

namespace infgrand {

constexpr int kPanel = 16;  // rows of y, or axes, in a panel
constexpr int kRows = 6;    // rows of x that meet a panel at once: 12 accumulators of 32 bytes

// A number for each row of a panel.
template <typename T>
struct Panel {
  static constexpr int kParts = kPanel / kLanes<T>;
  Vec<T> part[kParts];

  T operator[](int lane) const { return part[lane / kLanes<T>][lane % kLanes<T>]; }
};

// kPanel rows side by side: element d of row l at [d * kPanel + l].
template <typename T, typename Row>
INFGRAND_INLINE void pack(const Row& row, int64_t features, T* panel) {
  for (int l = 0; l < kPanel; ++l) {
    const T* const source = row(l);
    for (int64_t d = 0; d < features; ++d) panel[d * kPanel + l] = source[d];
  }
}

// Inner products of kRows rows with a panel, accumulated in A.
template <typename A, typename T>
INFGRAND_INLINE void products(const T* const (&x)[kRows], const T* panel, int64_t features,
                              Panel<A> (&dots)[kRows]) {
  constexpr int kParts = Panel<A>::kParts, kWide = kLanes<A>;
  Vec<A> sum[kRows][kParts] = {};
  for (int64_t d = 0; d < features; ++d) {
    Vec<A> lanes[kParts];
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      Vec<T, kWide> stored;
      std::memcpy(&stored, panel + d * kPanel + p * kWide, sizeof stored);
      lanes[p] = __builtin_convertvector(stored, Vec<A>);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) sum[r][p] += static_cast<A>(x[r][d]) * lanes[p];
  }
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kParts; ++p) dots[r].part[p] = sum[r][p];
}

// Rows of a matrix in panels; the last panel of a group repeats the group's last row.
template <typename T>
struct Axes {
  int64_t count, features;
  std::vector<T> packed;

  Axes(const Tensor& axes)
      : count(axes.size(0)), features(axes.size(1)), packed(panels() * kPanel * features) {
    const auto* data = static_cast<const T*>(axes.const_data_ptr());
    for (int64_t p = 0; p < panels(); ++p)
      pack([&](int l) { return data + std::min(p * kPanel + l, count - 1) * features; }, features,
           packed.data() + p * kPanel * features);
  }
  int64_t panels() const { return (count + kPanel - 1) / kPanel; }
  const T* panel(int64_t p) const { return packed.data() + p * kPanel * features; }
};

constexpr int64_t kBlock = 1024;  // rows of x that a thread takes: they stay in its cache

// Calls f(first_row, last_row) for blocks of rows, handed out as threads come for them.
template <typename F>
void for_blocks(int64_t rows, const F& f) {
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  const int64_t threads = std::min<int64_t>(torch::stable::get_num_threads(), blocks);
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    for (int64_t b; (b = next.fetch_add(1)) < blocks;)
      f(b * kBlock, std::min(rows, (b + 1) * kBlock));
  });
}

}  // namespace infgrand
