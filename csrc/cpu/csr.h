// What the CPU kernels share about a CSR: its check, and its rows dealt out to threads.
#pragma once

#include "../checks.h"
#include "vectors.h"

#include <torch/csrc/stable/ops.h>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace infgrand {

template <typename A>
const A* data(const Tensor& tensor) {
  return static_cast<const A*>(tensor.const_data_ptr());
}
template <typename A>
const A* data(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? data<A>(*tensor) : nullptr;
}

// Row pointers ascend from 0 to len(indices) and every column exists.
inline void check_structure(const char* op, const Tensor& indptr, const Tensor& indices,
                            int64_t num_cols) {
  const int64_t num_rows = indptr.size(0) - 1, num_edges = indices.size(0);
  const auto* pointers = data<int64_t>(indptr);
  const auto* columns = data<int32_t>(indices);
  STD_TORCH_CHECK(pointers[0] == 0 && pointers[num_rows] == num_edges, op,
                  ": indptr must run from 0 to len(indices) = ", num_edges, ", found ", pointers[0],
                  " to ", pointers[num_rows]);
  std::atomic<bool> ascending{true}, inside{true};
  torch::stable::parallel_for(0, num_rows, 1 << 16, [&](int64_t begin, int64_t end) {
    bool ok = true;
    for (int64_t i = begin; i < end; ++i) ok &= pointers[i] <= pointers[i + 1];
    if (!ok) ascending = false;
  });
  STD_TORCH_CHECK(ascending, op, ": indptr must not decrease");
  torch::stable::parallel_for(0, num_edges, 1 << 16, [&](int64_t begin, int64_t end) {
    uint32_t largest = 0;  // a negative id is a huge unsigned one
    for (int64_t e = begin; e < end; ++e)
      largest = std::max(largest, static_cast<uint32_t>(columns[e]));
    if (end > begin && static_cast<int64_t>(largest) >= num_cols) inside = false;
  });
  STD_TORCH_CHECK(inside, op, ": indices must lie in [0, ", num_cols, ")");
}

// Rows in chunks of about equal rows plus edges, which threads take as they come for them: rows of
// a power-law graph differ a thousandfold in length. Each row is one thread's, so no result depends
// on the number of threads.
class Chunks {
 public:
  Chunks(const int64_t* indptr, int64_t num_rows) : threads_(torch::stable::get_num_threads()) {
    const int64_t work = indptr[num_rows] + num_rows;
    const int64_t chunks = std::max<int64_t>(1, std::min(work / 2048, threads_ * 64));
    first_.assign(chunks + 1, num_rows);
    for (int64_t c = 0, row = 0; c < chunks; ++c) {
      const int64_t target = work / chunks * c;
      const int64_t* at =
          std::partition_point(indptr + row, indptr + num_rows, [&](const int64_t& pointer) {
            return pointer + (&pointer - indptr) < target;
          });
      row = first_[c] = at - indptr;
    }
  }

  // Calls run(first_row, last_row, pass) for all chunks of each pass in turn.
  template <typename Run>
  void operator()(int64_t passes, const Run& run) const {
    const int64_t chunks = static_cast<int64_t>(first_.size()) - 1;
    std::atomic<int64_t> next{0};
    torch::stable::parallel_for(0, std::min(threads_, chunks), 1, [&](int64_t, int64_t) {
      for (int64_t k; (k = next.fetch_add(1)) < chunks * passes;)
        run(first_[k % chunks], first_[k % chunks + 1], k / chunks);
    });
  }

 private:
  int64_t threads_;
  std::vector<int64_t> first_;
};

// Asks for huge pages under a fresh large tensor: filling it then costs a few page faults, and
// gathering from it few misses of the address translation.
inline void prefer_huge_pages(const Tensor& tensor) {
#ifdef MADV_HUGEPAGE
  constexpr size_t kPage = size_t{2} << 20;
  const size_t begin = reinterpret_cast<size_t>(tensor.const_data_ptr());
  const size_t first = (begin + kPage - 1) / kPage * kPage;
  const size_t end = (begin + tensor.numel() * tensor.element_size()) / kPage * kPage;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

// Calls f with a value of the storage type of x.
template <typename F>
void for_type(const Tensor& x, const F& f) {
  switch (x.scalar_type()) {
    case ScalarType::Double: return f(double{});
    case ScalarType::BFloat16: return f(BFloat16{});
    case ScalarType::Half: return f(Half{});
    default: return f(float{});
  }
}

}  // namespace infgrand
