#include "panels.h"

#include <torch/csrc/stable/library.h>

#include <cmath>
#include <memory>
#include <mutex>

namespace infgrand {
namespace {

template <typename T, int lanes>
INFGRAND_INLINE T smallest(const Vec<T, lanes>& all) {
  if constexpr (lanes == 1) {
    return all[0];
  } else {
    Vec<T, lanes / 2> a, b;
    std::memcpy(&a, &all, sizeof a);
    std::memcpy(&b, reinterpret_cast<const char*>(&all) + sizeof a, sizeof b);
    return smallest<T, lanes / 2>(a < b ? a : b);
  }
}
template <typename T>
INFGRAND_INLINE Panel<T> smaller(const Panel<T>& a, const Panel<T>& b) {
  Panel<T> least;
  for (int p = 0; p < Panel<T>::kParts; ++p)
    least.part[p] = a.part[p] < b.part[p] ? a.part[p] : b.part[p];
  return least;
}
template <typename T>
INFGRAND_INLINE T smallest(const Panel<T>& all) {
  auto least = all.part[0];
  for (int p = 1; p < Panel<T>::kParts; ++p) least = all.part[p] < least ? all.part[p] : least;
  return smallest<T, kLanes<T>>(least);
}

// The least inner product so far, in float64; of equal ones the first pair.
struct Best {
  double value;
  int64_t i = -1, j = -1;

  void offer(double v, int64_t row, int64_t col) {
    if (v < value || (v == value && i >= 0 && (row < i || (row == i && col < j))))
      value = v, i = row, j = col;
  }
};

static_assert(kDirections + 1 == kPanel);

// A row along kDirections orthonormal directions, and the length of the rest: x.y is at least the
// product along the directions less that of the lengths.
template <typename T>
struct Sketch {
  Axes<T> axes;  // one panel; the last axis is not used
  T eps, limit;  // no inner product whose bound is above the limit is needed

  bool pays() const { return axes.features > 2 * kPanel; }
  T rest(const T* along) const {
    T square = 1 + 8 * eps;
    for (int f = 0; f + 1 < kPanel; ++f) square -= along[f] * along[f];
    return std::sqrt(std::max(square, T(0)));
  }
};

// Panels of the members of the cones, each packed by the first thread that needs it: those of
// smooth rows never are.
template <typename T>
struct Members {
  const int64_t* indptr;  // of the cones
  const int32_t* indices;
  const T *y, *limits;
  const Sketch<T>& sketch;
  int64_t features, size;      // of a row; of a panel with its sketches
  std::vector<int64_t> first;  // panel of each cone
  std::unique_ptr<T[]> packed;
  std::unique_ptr<std::once_flag[]> done;

  Members(const Tensor& cones, const Tensor& members, const Tensor& y_rows, const Tensor& limit,
          const Sketch<T>& sketch)
      : indptr(static_cast<const int64_t*>(cones.const_data_ptr())),
        indices(static_cast<const int32_t*>(members.const_data_ptr())),
        y(static_cast<const T*>(y_rows.const_data_ptr())),
        limits(static_cast<const T*>(limit.const_data_ptr())),
        sketch(sketch),
        features(y_rows.size(1)),
        size((features + kPanel) * kPanel),
        first(cones.size(0)) {
    for (int64_t k = 0; k + 1 < cones.size(0); ++k) first[k + 1] = first[k] + panels(k);
    packed.reset(new T[first.back() * size]);  // untouched memory costs nothing
    done.reset(new std::once_flag[first.back()]);
  }
  int64_t panels(int64_t k) const { return (indptr[k + 1] - indptr[k] + kPanel - 1) / kPanel; }
  int64_t member(int64_t k, int64_t p, int l) const {
    return indices[std::min(indptr[k] + p * kPanel + l, indptr[k + 1] - 1)];
  }
  int64_t count(int64_t k, int64_t p) const {
    return std::min<int64_t>(kPanel, indptr[k + 1] - indptr[k] - p * kPanel);
  }
  // No inner product with the axis above this needs panel p of cone k.
  T limit(int64_t k, int64_t p) const { return limits[indptr[k] + p * kPanel]; }

  // The rows, and then their sketches.
  const T* panel(int64_t k, int64_t p) {
    T* const place = packed.get() + (first[k] + p) * size;
    std::call_once(done[first[k] + p], [&] {
      pack([&](int l) { return y + member(k, p, l) * features; }, features, place);
      if (!sketch.pays()) return;
      T* const sketches = place + features * kPanel;
      for (int l = 0; l < kPanel; ++l) {
        T u[kPanel];
        for (int f = 0; f + 1 < kPanel; ++f) {
          u[f] = 0;
          for (int64_t d = 0; d < features; ++d)
            u[f] += sketch.axes.packed[d * kPanel + f] * place[d * kPanel + l];
        }
        u[kPanel - 1] = sketch.rest(u);
        for (int f = 0; f < kPanel; ++f) sketches[f * kPanel + l] = u[f];
      }
    });
    return place;
  }
};

template <typename T>
struct Scan {
  const T* x;
  const Axes<T>& axes;
  Members<T>& members;
  double eps;
  std::atomic<double>& known;  // the least value any thread has found

  INFGRAND_INLINE void run(int64_t begin, int64_t end, Best& best, int64_t& evaluated) const {
    const int64_t count = end - begin;
    T dots[kBlock * kPanel], sketches[kBlock * kPanel];
    int32_t rows[kBlock];
    T value[kBlock];
    if (members.sketch.pays()) {
      block_products(begin, count, members.sketch.axes.panel(0), sketches);
      for (int64_t row = 0; row < count; ++row) {
        T* const u = sketches + row * kPanel;
        u[kPanel - 1] = -members.sketch.rest(u);
      }
    }
    for (int64_t a = 0; a < axes.panels(); ++a) {
      block_products(begin, count, axes.panel(a), dots);
      for (int64_t k = a * kPanel; k < std::min((a + 1) * kPanel, axes.count); ++k) {
        const int64_t panels = members.panels(k);
        if (panels == 0) continue;
        int64_t left = 0;
        const T widest = members.limit(k, 0);
        for (int64_t row = 0; row < count; ++row) {
          const T dot = dots[row * kPanel + k % kPanel];
          rows[left] = static_cast<int32_t>(row);
          value[left] = dot;
          left += dot <= widest;
        }
        for (int64_t p = 0; p < panels; ++p) {
          if (p > 0) {
            const T limit = members.limit(k, p);
            int64_t kept = 0;
            for (int64_t n = 0; n < left; ++n) {
              rows[kept] = rows[n];
              value[kept] = value[n];
              kept += value[n] <= limit;
            }
            left = kept;
          }
          if (left == 0) break;
          evaluated += members.count(k, p) * meet(begin, rows, left, sketches, k, p, best);
        }
      }
    }
  }

  // Products of a block of rows with a panel.
  INFGRAND_INLINE void block_products(int64_t begin, int64_t count, const T* panel, T* out) const {
    for (int64_t row = 0; row < count; row += kRows) {
      const T* source[kRows];
      for (int r = 0; r < kRows; ++r)
        source[r] = x + (begin + std::min(row + r, count - 1)) * axes.features;
      Panel<T> dots[kRows];
      products<T>(source, panel, axes.features, dots);
      for (int r = 0; r < kRows && row + r < count; ++r)
        std::memcpy(out + (row + r) * kPanel, &dots[r], sizeof dots[r]);
    }
  }

  // The rows with the panel, but for those that the sketches exclude; returns how many are left.
  INFGRAND_INLINE int64_t meet(int64_t begin, const int32_t* rows, int64_t left, const T* sketches,
                               int64_t k, int64_t p, Best& best) const {
    const int64_t D = axes.features;
    const T* const panel = members.panel(k, p);
    int32_t close[kBlock];
    if (members.sketch.pays()) {
      int64_t kept = 0;
      for (int64_t n = 0; n < left; n += kRows) {
        const T* source[kRows];
        for (int r = 0; r < kRows; ++r)
          source[r] = sketches + rows[std::min(n + r, left - 1)] * kPanel;
        Panel<T> bound[kRows];
        products<T>(source, panel + D * kPanel, kPanel, bound);
        for (int r = 0; r < kRows && n + r < left; ++r) {
          close[kept] = rows[n + r];
          kept += smallest(bound[r]) <= members.sketch.limit;
        }
      }
      rows = close;
      left = kept;
    }
    for (int64_t n = 0; n < left; n += kRows) {
      const T* source[kRows];
      for (int r = 0; r < kRows; ++r) source[r] = x + (begin + rows[std::min(n + r, left - 1)]) * D;
      Panel<T> dots[kRows];
      products<T>(source, panel, D, dots);
      Panel<T> least = dots[0];
      for (int r = 1; r < kRows; ++r) least = smaller(least, dots[r]);
      // Whatever rounding may hide below the best value is looked at again in float64.
      if (smallest(least) > known.load(std::memory_order_relaxed) + eps) continue;
      Panel<double> exact[kRows];
      products<double>(source, panel, D, exact);
      for (int r = 0; r < kRows && n + r < left; ++r)
        for (int l = 0; l < kPanel; ++l)
          best.offer(exact[r][l], begin + rows[n + r], members.member(k, p, l));
      double other = known.load(std::memory_order_relaxed);
      while (best.value < other && !known.compare_exchange_weak(other, best.value)) {}
    }
    return left;
  }
};

#define INFGRAND_RUN_SCAN(T)                                                            \
  INFGRAND_CLONES void run(const Scan<T>& work, int64_t begin, int64_t end, Best& best, \
                           int64_t& evaluated) {                                        \
    work.run(begin, end, best, evaluated);                                              \
  }
INFGRAND_RUN_SCAN(float)
INFGRAND_RUN_SCAN(double)

Tensor min_over_cones(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& y,
                      const Tensor& axes, const Tensor& limits,
                      const std::optional<Tensor>& directions, double value, double eps) {
  const char* op = "infgrand::min_over_cones";
  check_min_over_cones(op, indptr, indices, x, y, axes, limits, directions);
  STD_TORCH_CHECK(directions.has_value(), op, ": directions are needed on the CPU");
  check_structure(op, indptr, indices, y.size(0));
  const Tensor found = torch::stable::new_empty(x, {3}, ScalarType::Long);
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Axes<T> packed(axes);
    const Sketch<T> sketch{Axes<T>(*directions), static_cast<T>(eps),
                           static_cast<T>(value + 32 * eps)};
    Members<T> members(indptr, indices, y, limits, sketch);
    std::atomic<double> known{value};
    const Scan<T> work{static_cast<const T*>(x.const_data_ptr()), packed, members, eps, known};
    Best best{value};
    int64_t evaluated = 0;
    std::mutex merging;
    for_blocks(x.size(0), [&](int64_t begin, int64_t end) {
      Best mine{value};
      int64_t count = 0;
      run(work, begin, end, mine, count);
      const std::lock_guard<std::mutex> lock(merging);
      if (mine.i >= 0) best.offer(mine.value, mine.i, mine.j);
      evaluated += count;
    });
    auto* out = static_cast<int64_t*>(found.mutable_data_ptr());
    out[0] = best.i, out[1] = best.j, out[2] = evaluated;
  });
  return found;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) {
  m.impl("min_over_cones", TORCH_BOX(&infgrand::min_over_cones));
}
