#include "product.h"

namespace infgrand {
namespace {

constexpr int64_t kLine = 64;  // bytes

// A neighbour's line is asked for so many edges ahead of its use, a row of x or y so many rows.
constexpr int64_t kAhead = 64;
constexpr int64_t kRowsAhead = 16;

// Neighbours are summed by so many, and then the sums: the rounding of a row of a million
// neighbours is that of a thousand.
constexpr int64_t kPiece = 1024;

// Small graphs take several tiles at once, up to so many bytes: threads meet less often.
constexpr int64_t kTogether = 1 << 20;

// Where two lines of all rows are so few bytes, a core's own cache holds them: the edges are walked
// once for both, and nothing is asked for ahead.
constexpr int64_t kNear = 1 << 19;

// Features dealt out to tiles: a line of accumulators each, two where rows are near, or half a line
// where that holds all features.
template <typename T>
struct Tiles {
  static constexpr int64_t kHalf = kLanes<Acc<T>>;
  int64_t features, vectors, lanes, count;

  Tiles(int64_t features, int64_t rows) : features(features) {
    const bool near = 2 * kLine * rows <= kNear;
    vectors = features <= kHalf ? 1 : features > 2 * kHalf && near ? 4 : 2;
    lanes = vectors * kHalf;
    count = (features + lanes - 1) / lanes;
  }
  int64_t first(int64_t tile) const { return lanes * tile; }
  int64_t width(int64_t tile) const { return std::min(lanes, features - first(tile)); }
};

// f(k) for k in [0, width), unrolled where it is a whole tile.
template <int64_t kWidth, typename F>
INFGRAND_INLINE void for_width(int64_t width, const F& f) {
  if (width == kWidth)
    for (int64_t k = 0; k < kWidth; ++k) f(k);
  else
    for (int64_t k = 0; k < width; ++k) f(k);
}

// Tiles [tile, tile + passes) of m x into `lines`, scaled by c, and as they are into `pooled`.
template <typename T>
struct Pack {
  Tiles<T> tiles;
  int64_t tile, rows;
  const T* x;
  const Acc<T>*mask, *scale;  // may be null: 1
  Acc<T>*lines, *pooled;      // pooled may be null

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t pass) const {
    if (tiles.vectors == 1) copy<Tiles<T>::kHalf>(begin, end, pass);
    else if (tiles.vectors == 2) copy<2 * Tiles<T>::kHalf>(begin, end, pass);
    else copy<4 * Tiles<T>::kHalf>(begin, end, pass);
  }

  template <int64_t kWidth>
  INFGRAND_INLINE void copy(int64_t begin, int64_t end, int64_t pass) const {
    const int64_t first = tiles.first(tile + pass), width = tiles.width(tile + pass);
    for (int64_t i = begin; i < end; ++i) {
      const T* const source = x + i * tiles.features + first;
      const T* const ahead = source + std::min(kRowsAhead, end - 1 - i) * tiles.features;
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + width - 1);
      const int64_t at = (pass * rows + i) * kWidth;
      const Acc<T> m = mask ? mask[i] : Acc<T>(1), c = scale ? scale[i] : Acc<T>(1);
      Acc<T> line[kWidth] = {};
      for_width<kWidth>(width, [&](int64_t k) { line[k] = m * load(source + k); });
      if (pooled) std::memcpy(pooled + at, line, sizeof line);
      for (int64_t k = 0; k < kWidth; ++k) lines[at + k] = c * line[k];
    }
  }
};

// One hop of those tiles.
template <typename T>
struct Hop {
  using A = Acc<T>;
  Tiles<T> tiles;
  int64_t tile, rows, cols, num_edges;
  const int64_t* indptr;
  const int32_t* indices;
  const A *row_scale, *col_scale, *values;  // may be null: 1
  A self_weight;
  const A* lines;  // c_j x_j
  A* next;         // c_i s_i, if another hop follows
  A* pooled;       // may be null
  Pooling pooling;
  A factor;
  T* y;  // in the last hop

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t pass) const {
    if (tiles.vectors == 1) sum<1>(begin, end, pass);
    else if (tiles.vectors == 2) sum<2>(begin, end, pass);
    else sum<4>(begin, end, pass);
  }

  template <int kVectors>
  INFGRAND_INLINE void sum(int64_t begin, int64_t end, int64_t pass) const {
    if (values) sum<kVectors, true>(begin, end, pass);
    else sum<kVectors, false>(begin, end, pass);
  }

  template <int kVectors, bool kValues>
  INFGRAND_INLINE void sum(int64_t begin, int64_t end, int64_t pass) const {
    constexpr int64_t kWidth = kVectors * kLanes<A>;
    const A* const x = lines + pass * cols * kWidth;
    const int64_t last_edge = num_edges - 1;
    for (int64_t i = begin; i < end; ++i) {
      Vec<A> sum[kVectors] = {}, total[kVectors] = {}, line;
      const int64_t stop = indptr[i + 1];
      for (int64_t e = indptr[i]; e < stop;) {
        for (const int64_t piece = std::min(stop, e + kPiece); e < piece; ++e) {
          if (kVectors < 4)
            __builtin_prefetch(x + indices[std::min(e + kAhead, last_edge)] * kWidth);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) {
            load_lanes(x + indices[e] * kWidth + v * kLanes<A>, line);
            sum[v] += kValues ? values[e] * line : line;
          }
        }
        if (e == stop) break;
        for (int v = 0; v < kVectors; ++v) {
          total[v] += sum[v];
          sum[v] = Vec<A>{};
        }
      }
      const A scale = row_scale ? row_scale[i] : A(1);
      for (int v = 0; v < kVectors; ++v) {
        sum[v] += total[v];
        if (self_weight != 0 && i < cols) {
          load_lanes(x + i * kWidth + v * kLanes<A>, line);
          sum[v] += self_weight * line;
        }
        sum[v] *= scale;
      }
      finish(i, pass, sum);
    }
  }

  template <int kVectors>
  INFGRAND_INLINE void finish(int64_t i, int64_t pass, Vec<A> (&s)[kVectors]) const {
    const int64_t at = (pass * rows + i) * kVectors * kLanes<A>;
    if (next) {
      const A c = col_scale ? col_scale[i] : A(1);
      for (int v = 0; v < kVectors; ++v) store_lanes(next + at + v * kLanes<A>, Vec<A>(c * s[v]));
    }
    if (pooled) {
      for (int v = 0; v < kVectors; ++v) {
        Vec<A> before;
        load_lanes(pooled + at + v * kLanes<A>, before);
        if (pooling == Pooling::kMean) s[v] += before;
        else if (pooling == Pooling::kMax) s[v] = s[v] > before ? s[v] : before;
        else s[v] = s[v] < before ? s[v] : before;
        if (!y) store_lanes(pooled + at + v * kLanes<A>, s[v]);
      }
    }
    if (!y) return;
    A line[kVectors * kLanes<A>];
    for (int v = 0; v < kVectors; ++v) store_lanes(line + v * kLanes<A>, Vec<A>(factor * s[v]));
    T* const target = y + i * tiles.features + tiles.first(tile + pass);
    const int64_t width = tiles.width(tile + pass);
    T* const ahead = target + std::min(kRowsAhead, rows - 1 - i) * tiles.features;
    __builtin_prefetch(ahead, 1);
    __builtin_prefetch(ahead + width - 1, 1);
    for_width<kVectors * kLanes<A>>(width, [&](int64_t k) { store(target + k, line[k]); });
  }
};

INFGRAND_FOR_TYPES(Pack)
INFGRAND_FOR_TYPES(Hop)

template <typename T>
void all_tiles(const Product& p, const Tensor& y) {
  using A = Acc<T>;
  const int64_t rows = y.size(0), cols = p.x.size(0), largest = std::max(rows, cols);
  const Tiles<T> tiles(p.x.size(1), cols);
  if (tiles.count == 0) return;
  const int64_t bytes = tiles.lanes * sizeof(A) * std::max<int64_t>(largest, 1);
  const int64_t together = std::clamp<int64_t>(kTogether / bytes, 1, tiles.count);
  const auto lines = [&] {
    const Tensor tensor = torch::stable::new_empty(p.x, {together * largest * tiles.lanes + kLine},
                                                   accumulate_type(p.x));
    prefer_huge_pages(tensor);
    return tensor;
  };
  const auto aligned = [](const Tensor& tensor) {
    const auto begin = reinterpret_cast<uintptr_t>(tensor.mutable_data_ptr());
    return reinterpret_cast<A*>((begin + kLine - 1) / kLine * kLine);
  };
  std::vector<Tensor> held{lines()};
  if (p.hops > 1) held.push_back(lines());
  if (p.pooling) held.push_back(lines());
  A* const buffers[] = {aligned(held[0]), p.hops > 1 ? aligned(held[1]) : nullptr};
  A* const pooled = p.pooling ? aligned(held.back()) : nullptr;
  const Chunks chunks(data<int64_t>(p.indptr), rows);
  for (int64_t tile = 0; tile < tiles.count; tile += together) {
    const int64_t passes = std::min(together, tiles.count - tile);
    const Pack<T> pack{tiles,      tile,  cols, data<T>(p.x), data<A>(p.mask), data<A>(p.col_scale),
                       buffers[0], pooled};
    torch::stable::parallel_for(0, cols, 1 << 12, [&](int64_t begin, int64_t end) {
      for (int64_t pass = 0; pass < passes; ++pass) run(pack, begin, end, pass);
    });
    for (int64_t hop = 0; hop < p.hops; ++hop) {
      const bool last = hop + 1 == p.hops;
      const Hop<T> work{tiles,
                        tile,
                        rows,
                        cols,
                        p.indices.size(0),
                        data<int64_t>(p.indptr),
                        data<int32_t>(p.indices),
                        data<A>(p.row_scale),
                        data<A>(p.col_scale),
                        data<A>(p.values),
                        static_cast<A>(p.self_weight),
                        buffers[hop % 2],
                        last ? nullptr : buffers[(hop + 1) % 2],
                        pooled,
                        p.pooling.value_or(Pooling::kMean),
                        static_cast<A>(p.factor),
                        last ? static_cast<T*>(y.mutable_data_ptr()) : nullptr};
      chunks(passes,
             [&](int64_t begin, int64_t end, int64_t pass) { run(work, begin, end, pass); });
    }
  }
}

}  // namespace

Tensor multiply(const Product& p) {
  const Tensor y = torch::stable::new_empty(p.x, {p.indptr.size(0) - 1, p.x.size(1)});
  prefer_huge_pages(y);
  for_type(p.x, [&](auto type) { all_tiles<decltype(type)>(p, y); });
  return y;
}

}  // namespace infgrand
