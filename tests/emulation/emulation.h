// CUDA's execution model on the host, for tests: the kernels of csrc/cuda compiled as C++.
//
// The threads of a block are fibers that run in turn until they meet a barrier; blocks run one
// after the other. Shuffles and votes are barriers of a warp. Every index into a Buffer is checked,
// and a barrier that not every live thread reaches is an error instead of a hang. What this cannot
// show: races between blocks, the memory model, and speed.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/shim_utils.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)
#define INFGRAND_REGISTER(m) STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m)

struct dim3 {
  unsigned x, y, z;
  explicit dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

struct uint2 {
  uint32_t x, y;
};
struct uint4 {
  uint32_t x, y, z, w;
};
template <typename Word>
void __stcs(Word* to, Word word) {
  *to = word;
}

struct __nv_bfloat16 {
  uint16_t bits;
};
using __half = _Float16;
inline float __half2float(__half v) { return static_cast<float>(v); }
inline __half __float2half_rn(float v) { return static_cast<__half>(v); }
inline float __bfloat162float(__nv_bfloat16 v) {
  const uint32_t bits = uint32_t{v.bits} << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}
inline __nv_bfloat16 __float2bfloat16_rn(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  if (std::isnan(v)) return {0x7fc0};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

namespace infgrand::emulation {

#ifndef __x86_64__
#error "the emulation switches between stacks in x86-64 assembly"
#endif
// Leaves the stack in use, whose pointer goes to *from, for another: the registers that a call
// preserves, and no system call (swapcontext makes one for the signal mask, tenfold slower).
[[gnu::naked, gnu::noinline]] inline void switch_stacks(void**, void*) {
  asm(R"(
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret)");
}

class Block {
 public:
  static constexpr size_t kStack = 256 << 10;

  // Runs one block of `threads` threads.
  void run(int threads, const std::function<void()>& body) {
    body_ = &body;
    while (fibers_.size() < static_cast<size_t>(threads))
      fibers_.push_back(std::make_unique<Fiber>());
    live_ = threads;
    for (Barrier& barrier : barriers_) barrier = {};
    for (int t = 0; t < threads; ++t) fibers_[t]->done = false, fibers_[t]->copies.clear();
    while (live_ > 0) {
      progress_ = false;
      for (int t = 0; t < threads; ++t)
        if (!fibers_[t]->done) resume(t);
      if (progress_) continue;
      fibers_.clear();  // they would go on from where they are
      STD_TORCH_CHECK(false, "emulation: a barrier that not every thread of its group reaches");
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  // Returns when all live threads have come, or fewer if some have ended.
  void wait_for_all() { wait(barriers_[kWarps], live_); }

  // What the threads of the block show, of which those of this warp are new; all 32 lanes take part.
  const uint64_t* show(uint64_t mine) {
    Barrier& warp = barriers_[current_ / 32];
    // No lane comes to the exchange after the next before all have read what this one shows.
    uint64_t* const shown = shown_[warp.generation % 2];
    shown[current_] = mine;
    wait(warp, 32);
    return shown;
  }

  // Copies that a thread asks for are made when it waits for them.
  void copy(void* to, const void* from, size_t size, size_t zeros) {
    Fiber& self = *fibers_[current_];
    self.copies.push_back({to, from, size, zeros, self.batch});
  }
  void commit() { ++fibers_[current_]->batch; }
  void wait_for_copies(int64_t batches_but) {
    Fiber& self = *fibers_[current_];
    auto next = self.copies.begin();
    for (; next != self.copies.end() && next->batch + batches_but < self.batch; ++next) {
      std::memcpy(next->to, next->from, next->size - next->zeros);
      std::memset(static_cast<char*>(next->to) + next->size - next->zeros, 0, next->zeros);
    }
    self.copies.erase(self.copies.begin(), next);
  }

  int thread() const { return current_; }

 private:
  struct Copy {
    void* to;
    const void* from;
    size_t size, zeros;
    int64_t batch;
  };
  struct Fiber {
    std::vector<Copy> copies;
    int64_t batch = 0;
    std::vector<char> stack = std::vector<char>(kStack);
    void* pointer;
    bool done = true;
    void* fake_stack = nullptr;

    Fiber() {  // switching to it for the first time enters `forever`
      auto* top = reinterpret_cast<uintptr_t*>(reinterpret_cast<uintptr_t>(stack.data() + kStack) /
                                               16 * 16);
      top[-2] = reinterpret_cast<uintptr_t>(&forever);
      pointer = top - 2 - 6;  // below it the six registers
    }
  };
  struct Barrier {
    int arrived = 0;
    int64_t generation = 0;
  };

  static void forever();

  void wait(Barrier& barrier, int members) {
    const int64_t generation = barrier.generation;
    if (++barrier.arrived == members) {
      barrier = {0, generation + 1};
      progress_ = true;
    }
    while (barrier.generation == generation) yield();
  }

  void resume(int t) {
    current_ = t;
    threadIdx = dim3(t, 0, 0);
    Fiber& fiber = *fibers_[t];
    void* mine = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&mine, fiber.stack.data(), kStack);
#endif
    switch_stacks(&scheduler_, fiber.pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
#endif
    (void)mine;
  }

  void yield() {
    Fiber& self = *fibers_[current_];
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&self.fake_stack, scheduler_stack_, scheduler_stack_size_);
#endif
    switch_stacks(&self.pointer, scheduler_);
    landed();
  }

  void landed() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fibers_[current_]->fake_stack, &scheduler_stack_,
                                    &scheduler_stack_size_);
#endif
  }

  static constexpr int kWarps = 32;
  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Barrier barriers_[kWarps + 1];  // of the warps, and of all
  uint64_t shown_[2][kWarps * 32];
  void* scheduler_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_size_ = 0;
  int current_ = 0, live_ = 0;
  bool progress_ = false;
  std::exception_ptr error_;
};

inline Block block;

// What a fiber does: the body of its thread, block after block.
inline void Block::forever() {
  block.landed();
  for (;;) {
    try {
      (*block.body_)();
    } catch (...) {
      block.error_ = std::current_exception();
    }
    block.fibers_[block.current_]->done = true;
    --block.live_;
    block.progress_ = true;
    block.yield();
  }
}

template <typename T>
T exchange(unsigned members, T value, int from) {
  static_assert(sizeof(T) <= 8);
  STD_TORCH_CHECK(members == 0xffffffff, "emulation: shuffles are emulated for whole warps");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = block.show(bits)[from];
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace infgrand::emulation

inline void __syncthreads() { infgrand::emulation::block.wait_for_all(); }

template <typename T>
T __shfl_xor_sync(unsigned members, T value, int mask) {
  return infgrand::emulation::exchange(members, value, infgrand::emulation::block.thread() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned members, T value, int lane) {
  const int first = infgrand::emulation::block.thread() / 32 * 32;
  return infgrand::emulation::exchange(members, value, first + lane % 32);
}

inline unsigned __ballot_sync(unsigned members, bool value) {
  STD_TORCH_CHECK(members == 0xffffffff, "emulation: votes are emulated for whole warps");
  const int first = infgrand::emulation::block.thread() / 32 * 32;
  const uint64_t* const shown = infgrand::emulation::block.show(value);
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane) votes |= static_cast<unsigned>(shown[first + lane]) << lane;
  return votes;
}
inline int __popc(unsigned v) { return __builtin_popcount(v); }

inline void __pipeline_memcpy_async(void* to, const void* from, size_t size, size_t zeros = 0) {
  infgrand::emulation::block.copy(to, from, size, zeros);
}
inline void __pipeline_commit() { infgrand::emulation::block.commit(); }
inline void __pipeline_wait_prior(size_t batches) {
  infgrand::emulation::block.wait_for_copies(batches);
}

namespace infgrand {

template <typename T>
struct Buffer {
  T* data;
  int64_t size;
  Buffer(T* data, int64_t size) : data(data), size(size) {}

  T& operator[](int64_t i) const { return *at(i, 1); }
  T* at(int64_t i, int64_t count) const {
    STD_TORCH_CHECK(data && i >= 0 && i + count <= size, "emulation: elements ", i, " to ",
                    i + count, " of a buffer of ", size);
    return data + i;
  }
  Buffer from(int64_t i) const { return {data + i, size - i}; }
};

struct Launcher {
  int cache_bytes = 1 << 12;  // some test matrices are larger

  explicit Launcher(const torch::stable::Tensor&) {}

  template <typename... Parameters>
  void operator()(void (*kernel)(Parameters...), dim3 grid, int threads,
                  Parameters... given) const {
    STD_TORCH_CHECK(grid.x > 0 && grid.y > 0 && grid.y < 65536 && threads > 0 && threads <= 1024,
                    "emulation: a launch of no or too many threads");
    gridDim = grid;
    blockDim = dim3(threads);
    const std::function<void()> body = [&] { kernel(given...); };
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y);
        emulation::block.run(threads, body);
      }
  }
};

}  // namespace infgrand
