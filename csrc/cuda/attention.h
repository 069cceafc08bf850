// What the forward and the backward pass of the attention share: rows and heads dealt out to
// warps, and the pieces of long rows added up.
#pragma once

#include "../attention.h"
#include "warp.h"

#include <algorithm>
#include <cmath>

namespace infgrand {

constexpr int kWarps = 8;     // of a block
constexpr int kUnroll = 4;    // neighbours of a lane that are loaded at once
constexpr int kResident = 2;  // blocks of a multiprocessor at least; more would hold loads back

// A warp owns a row, or a piece of a long one, with as many heads as fit: kGroup lanes take one
// neighbour together, kPacks packs of kWidth features of one head each, and kSlots neighbours are
// met side by side.
template <int width, int group, int packs>
struct Layout {
  static constexpr int kWidth = width, kGroup = group, kPacks = packs, kSlots = kWarp / group;
};

template <typename T>
struct Attention {
  Schedule schedule;
  Buffer<const int32_t> indices;
  uint32_t num_cols;
  int heads, features, width;  // features of a head; of all
  Buffer<const T> source, target;
  T slope;
  Dropout<T> dropout;
  // Packs of a head; heads of a warp; warps that a row takes; times that each reads it
  int lanes = 0, together = 0, parts = 0, passes = 0;
};

// What a lane does.
template <typename Layout>
struct Place {
  int64_t row = -1;  // none: nothing
  int64_t item;      // the piece, or the row
  bool piece;
  int64_t begin, end;     // edges, of which it takes every kSlots-th
  int slot, position, h;  // neighbour of the warp; pack of the head
  bool active;

  template <typename T>
  __device__ explicit Place(const Attention<T>& p) {
    const int64_t warp = warp_id(kWarps);
    item = warp / p.parts;
    const int part = warp - item * p.parts, lane = lane_id() % Layout::kGroup;
    slot = lane_id() / Layout::kGroup;
    position = lane % p.lanes;
    h = part * p.together + lane / p.lanes;
    active = lane < p.together * p.lanes && h < p.heads;
    piece = item < p.schedule.count;
    const Item mine = piece ? p.schedule.piece(item) : p.schedule.row(item - p.schedule.count);
    if (mine.row < 0 || (!piece && p.schedule.cut(mine))) return;
    row = mine.row;
    if (!piece) item = row;
    end = mine.end;
    begin = active ? mine.begin + slot : end;
  }
};

// The packs of a lane in a pass: their first features, of all heads.
template <typename Layout>
struct Features {
  int first[Layout::kPacks], stop;

  template <typename T>
  __device__ Features(const Attention<T>& p, const Place<Layout>& at, int pass)
      : stop(at.active ? (at.h + 1) * p.features : 0) {
#pragma unroll
    for (int k = 0; k < Layout::kPacks; ++k)
      first[k] = at.h * p.features +
                 Layout::kWidth * (at.position + Layout::kGroup * (pass * Layout::kPacks + k));
  }
  __device__ bool has(int k) const { return first[k] < stop; }
};

// The next kUnroll neighbours of a lane. Each kind of load is asked for of all of them before the
// first is used.
template <typename T, typename Layout>
struct Neighbours {
  using Row = Pack<T, Layout::kWidth>;
  int count;
  int32_t id[kUnroll];
  bool exists[kUnroll];
  Row rows[kUnroll][Layout::kPacks];

  __device__ Neighbours(const Attention<T>& p, int64_t e, int64_t end)
      : count(end - e < kUnroll * kWarp ? end - e : kUnroll * kWarp) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) id[u] = edge(u) ? p.indices[e + u * Layout::kSlots] : -1;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) exists[u] = static_cast<uint32_t>(id[u]) < p.num_cols;
  }
  __device__ bool edge(int u) const { return u * Layout::kSlots < count; }

  // Of each its number for a head.
  __device__ void find(const Attention<T>& p, const Buffer<const T>& from, int head,
                       T (&to)[kUnroll]) const {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      to[u] = exists[u] ? from[static_cast<int64_t>(id[u]) * p.heads + head] : T(0);
  }
  __device__ void find(const Attention<T>& p, const Buffer<const T>& from,
                       const Features<Layout>& features) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int k = 0; k < Layout::kPacks; ++k)
        rows[u][k] = exists[u] && features.has(k)
                         ? load<Layout::kWidth>(from, static_cast<int64_t>(id[u]) * p.width +
                                                          features.first[k])
                         : Row{};
  }

  // leaky_relu(v): without weight where there is no edge, NaN where there is no such column.
  __device__ T score(const Attention<T>& p, int u, T v) const {
    const T leaky = v > 0 ? v : p.slope * v, none = edge(u) ? T(NAN) : T(-INFINITY);
    return exists[u] ? leaky : none;
  }
};

template <typename T>
__device__ T larger(T a, T b) {
  return b > a ? b : a;
}

// Over the lanes of a warp that hold the same features.
template <typename Layout, typename T>
__device__ T slot_sum(T v) {
#pragma unroll
  for (int mask = Layout::kGroup; mask < kWarp; mask *= 2) v += __shfl_xor_sync(kAllLanes, v, mask);
  return v;
}
template <typename Layout, typename T>
__device__ T slot_max(T v) {
#pragma unroll
  for (int mask = Layout::kGroup; mask < kWarp; mask *= 2)
    v = larger(v, __shfl_xor_sync(kAllLanes, v, mask));
  return v;
}

template <typename T, typename Layout>
struct Sum {
  Pack<T, Layout::kWidth> packs[Layout::kPacks] = {};

  template <typename F>
  __device__ void change(const F& f) {
#pragma unroll
    for (auto& pack : packs)
#pragma unroll
      for (T& v : pack.value) v = f(v);
  }
  __device__ void add(const Pack<T, Layout::kWidth> (&row)[Layout::kPacks], T weight) {
#pragma unroll
    for (int k = 0; k < Layout::kPacks; ++k)
#pragma unroll
      for (int n = 0; n < Layout::kWidth; ++n) packs[k].value[n] += weight * row[k].value[n];
  }
  __device__ void write(const Attention<T>& p, const Buffer<T>& to, int64_t row,
                        const Features<Layout>& features) const {
#pragma unroll
    for (int k = 0; k < Layout::kPacks; ++k)
      if (features.has(k)) store<Layout::kWidth>(to, row * p.width + features.first[k], packs[k]);
  }
};

// What exponentials are relative to: the largest score, or 0 where there is none.
template <typename T>
__device__ T reference(T largest) {
  return largest > T(-INFINITY) ? largest : T(0);
}

// Sums of rows over the edges of a piece, and for a softmax its largest score and its total.
template <typename T>
struct Partial {
  Buffer<T> sums{nullptr, 0}, largest{nullptr, 0}, total{nullptr, 0};
};

// A block adds the pieces of a row up, each warp every kWarps-th, in the same order every time;
// with `largest` those of a softmax.
template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp, kResident)
    add_pieces(Attention<T> p, Partial<T> partial, int features, Buffer<T> out,
               Buffer<T> normalizer) {
  __shared__ T held[3][kWarps][kWarp];
  const int64_t first = blockIdx.x, stop = first + p.schedule.following(first);
  if (first == stop) return;
  const int64_t row = p.schedule.piece(first).row;
  const int lane = lane_id(), warp = threadIdx.x / kWarp;
  const int64_t width = static_cast<int64_t>(p.heads) * features;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kWarp + lane;
  const bool active = column < width, softmax = partial.largest.data;
  const int64_t h = active ? column / features : 0;
  T largest = -INFINITY, sum = 0, total = 0;
  if (softmax) {
#pragma unroll 4
    for (int64_t n = first + warp; n < stop; n += kWarps) {
      largest = larger(largest, partial.largest[n * p.heads + h]);
    }
    held[0][warp][lane] = largest;
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) largest = larger(largest, held[0][w][lane]);
  }
#pragma unroll 4
  for (int64_t n = first + warp; n < stop; n += kWarps) {
    const T v = active ? partial.sums[n * width + column] : T(0);
    if (softmax) {
      const T shrunk = exp(partial.largest[n * p.heads + h] - reference(largest));
      total += shrunk * partial.total[n * p.heads + h];
      sum += shrunk * v;
    } else {
      sum += v;
    }
  }
  held[1][warp][lane] = sum, held[2][warp][lane] = total;
  __syncthreads();
  if (warp > 0 || !active) return;
  for (int w = 1; w < kWarps; ++w) sum += held[1][w][lane], total += held[2][w][lane];
  out[row * width + column] = softmax ? sum / total : sum;
  if (softmax && column % features == 0) normalizer[row * p.heads + h] = largest + log(total);
}

template <typename T>
Attention<T> attention_of(const char* op, const Tensor& indptr, const Tensor& indices,
                          const std::optional<Tensor>& schedule, const Tensor& other,
                          const Tensor& source, const Tensor& target, double slope, double dropout,
                          int64_t seed) {
  check_schedule(op, schedule, indptr);
  return {schedule_of(indptr, indices, schedule),
          reading<int32_t>(indices),
          static_cast<uint32_t>(other.size(0)),
          static_cast<int>(other.size(1)),
          static_cast<int>(other.size(2)),
          static_cast<int>(other.size(1) * other.size(2)),
          reading<T>(source),
          reading<T>(target),
          static_cast<T>(slope),
          {dropout, seed}};
}

// Calls run(layout) with what fits the heads, whose rows start as aligned as the tensors given.
template <int kWidth, typename T, typename F>
void for_layout(Attention<T>& p, const F& run) {
  p.lanes = p.features / kWidth;
  const bool wide = p.lanes > kWarp;
  p.together = wide ? 1 : std::min(p.heads, kWarp / p.lanes);
  p.parts = (p.heads + p.together - 1) / p.together;
  p.passes = wide ? (p.lanes + 2 * kWarp - 1) / (2 * kWarp) : 1;
  const int used = p.together * p.lanes;
  if (wide) run(Layout<kWidth, 32, 2>{});
  else if (used > 16) run(Layout<kWidth, 32, 1>{});
  else if (used > 8) run(Layout<kWidth, 16, 1>{});
  else run(Layout<kWidth, 8, 1>{});
}

template <typename T, typename F>
void for_layout(Attention<T>& p, std::initializer_list<const T*> tensors, const F& run) {
  const auto aligned = [&](int width) {
    return p.features % width == 0 && std::all_of(tensors.begin(), tensors.end(), [&](auto data) {
             return reinterpret_cast<size_t>(data) % (width * sizeof(T)) == 0;
           });
  };
  if constexpr (sizeof(T) == 4)
    if (aligned(4)) return for_layout<4>(p, run);
  if (aligned(2)) for_layout<2>(p, run);
  else for_layout<1>(p, run);
}

template <typename T>
dim3 grid(const Attention<T>& p) {
  return dim3(blocks((p.schedule.pointer.num_rows + p.schedule.count) * p.parts, kWarps));
}

template <typename T>
void add_up(const Attention<T>& p, const Partial<T>& partial, int features, const Buffer<T>& out,
            const Buffer<T>& normalizer, const Launcher& launch) {
  if (p.schedule.count == 0) return;
  const dim3 grid(blocks(p.schedule.count, 1), blocks(int64_t{p.heads} * features, kWarp));
  launch(add_pieces<T>, grid, kWarps * kWarp, p, partial, features, out, normalizer);
}

}  // namespace infgrand
