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
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(threads)
#define INFGRAND_REGISTER(m) STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m)

struct dim3 {
  unsigned x, y, z;
  explicit dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

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

class Block {
 public:
  static constexpr size_t kStack = 256 << 10;

  // Runs one block of `threads` threads.
  void run(int threads, const std::function<void()>& body) {
    body_ = &body;
    while (fibers_.size() < static_cast<size_t>(threads))
      fibers_.push_back(std::make_unique<Fiber>());
    live_ = threads;
    barriers_.clear();
    for (int t = 0; t < threads; ++t) start(*fibers_[t]);
    while (live_ > 0) {
      progress_ = false;
      for (int t = 0; t < threads; ++t)
        if (!fibers_[t]->done) resume(t);
      STD_TORCH_CHECK(progress_, "emulation: a barrier that not every thread of its group reaches");
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  // Returns when `members` threads have come to the barrier `name`, or fewer if some have ended.
  void wait(int name, int members) {
    Barrier& barrier = barriers_[name];
    const int64_t generation = barrier.generation;
    if (++barrier.arrived == members) {
      barrier = {0, generation + 1};
      progress_ = true;
    }
    while (barrier.generation == generation) yield();
  }

  int thread() const { return current_; }
  int live() const { return live_; }

  // What the threads of a warp show each other.
  uint64_t shown[1024];

 private:
  struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(kStack);
    bool done = true;
    void* fake_stack = nullptr;
  };
  struct Barrier {
    int arrived = 0;
    int64_t generation = 0;
  };

  static void enter(unsigned low, unsigned high) {
    auto* block = reinterpret_cast<Block*>(uint64_t{low} | uint64_t{high} << 32);
    block->landed();
    try {
      (*block->body_)();
    } catch (...) {
      block->error_ = std::current_exception();
    }
    Fiber& self = *block->fibers_[block->current_];
    self.done = true;
    --block->live_;
    block->progress_ = true;
    block->leave(nullptr);
    swapcontext(&self.context, &block->scheduler_);
  }

  void start(Fiber& fiber) {
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    const auto self = reinterpret_cast<uint64_t>(this);
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&enter), 2,
                static_cast<unsigned>(self), static_cast<unsigned>(self >> 32));
  }

  void resume(int t) {
    current_ = t;
    threadIdx = dim3(t, 0, 0);
    Fiber& fiber = *fibers_[t];
    void* mine = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&mine, fiber.stack.data(), kStack);
#endif
    swapcontext(&scheduler_, &fiber.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
#endif
    (void)mine;
  }

  void yield() {
    Fiber& self = *fibers_[current_];
    leave(&self.fake_stack);
    swapcontext(&self.context, &scheduler_);
    landed();
  }

  // A fiber hands over to the scheduler; without a place to save it, its own stack is given up.
  void leave([[maybe_unused]] void** save) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(save, scheduler_stack_, scheduler_stack_size_);
#endif
  }
  void landed() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fibers_[current_]->fake_stack, &scheduler_stack_,
                                    &scheduler_stack_size_);
    fibers_[current_]->fake_stack = nullptr;
#endif
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::map<int, Barrier> barriers_;
  ucontext_t scheduler_;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_size_ = 0;
  int current_ = 0, live_ = 0;
  bool progress_ = false;
  std::exception_ptr error_;
};

inline Block block;

}  // namespace infgrand::emulation

inline void __syncthreads() {
  auto& block = infgrand::emulation::block;
  block.wait(-1, block.live());
}

namespace infgrand::emulation {

// What thread `from` shows; all 32 lanes of the warp take part.
template <typename T>
T exchange(unsigned members, T value, int from) {
  static_assert(sizeof(T) <= 8);
  STD_TORCH_CHECK(members == 0xffffffff, "emulation: shuffles are emulated for whole warps");
  const int warp = block.thread() / 32;
  std::memcpy(&block.shown[block.thread()], &value, sizeof value);
  block.wait(warp, 32);
  T other;
  std::memcpy(&other, &block.shown[from], sizeof other);
  block.wait(warp, 32);
  return other;
}

}  // namespace infgrand::emulation

template <typename T>
T __shfl_xor_sync(unsigned members, T value, int mask) {
  return infgrand::emulation::exchange(members, value, infgrand::emulation::block.thread() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned members, T value, int lane) {
  const int first = infgrand::emulation::block.thread() / 32 * 32;
  return infgrand::emulation::exchange(members, value, first + lane % 32);
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
};

struct Launcher {
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
