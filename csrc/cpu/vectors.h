// Rows of numbers in registers: storage types, their accumulators, loads and stores of lanes.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

// One body, compiled for each x86-64 level and chosen when the library is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define INFGRAND_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"), flatten))
#else
#define INFGRAND_CLONES
#endif
// run(work, begin, end, pass) for every storage type of a Work<T> with a method run.
#define INFGRAND_FOR_TYPES(Work)      \
  INFGRAND_RUN(Work, float)           \
  INFGRAND_RUN(Work, double)          \
  INFGRAND_RUN(Work, BFloat16)        \
  INFGRAND_RUN(Work, Half)
#define INFGRAND_RUN(Work, T)                                                              \
  INFGRAND_CLONES void run(const Work<T>& work, int64_t begin, int64_t end, int64_t pass) { \
    work.run(begin, end, pass);                                                            \
  }
#define INFGRAND_INLINE [[gnu::always_inline]] inline

namespace infgrand {

struct BFloat16 {
  uint16_t bits;
};
using Half = _Float16;

// 16-bit types are accumulated in float32.
template <typename T>
using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;

INFGRAND_INLINE void store(float* p, float v) { *p = v; }
INFGRAND_INLINE void store(double* p, double v) { *p = v; }
INFGRAND_INLINE void store(Half* p, float v) { *p = static_cast<Half>(v); }
INFGRAND_INLINE void store(BFloat16* p, float v) {  // to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  p->bits = v != v ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// kLanes numbers; the compiler splits them where registers are narrower.
template <typename T, int kLanes>
using Vec [[gnu::vector_size(kLanes * sizeof(T))]] = T;

// Accumulators of kLanes elements.
template <typename T, int kLanes>
using Lanes = Vec<Acc<T>, kLanes>;

template <int kLanes, typename T>
INFGRAND_INLINE void load_lanes(const T* p, Lanes<T, kLanes>& lanes) {
  if constexpr (std::is_same_v<T, Acc<T>>) {
    std::memcpy(&lanes, p, sizeof lanes);
  } else {  // in integers: compilers vectorise this, and not the conversion of _Float16
    using Bits = Vec<uint32_t, kLanes>;
    Vec<uint16_t, kLanes> stored;
    std::memcpy(&stored, p, sizeof stored);
    const Bits half = __builtin_convertvector(stored, Bits);
    if constexpr (std::is_same_v<T, BFloat16>) {
      const Bits bits = half << 16;
      std::memcpy(&lanes, &bits, sizeof lanes);
    } else {
      const Bits magnitude = (half & 0x7fff) << 13;
      std::memcpy(&lanes, &magnitude, sizeof lanes);
      lanes *= 0x1p112f;  // moves the exponent, subnormal numbers included
      Bits bits;
      std::memcpy(&bits, &lanes, sizeof bits);
      bits |= (Bits)(magnitude >= 0x0f800000) & 0x7f800000;  // infinity and NaN
      bits |= (half & 0x8000) << 16;
      std::memcpy(&lanes, &bits, sizeof lanes);
    }
  }
}

template <int kLanes, typename T>
INFGRAND_INLINE void store_lanes(T* p, const Lanes<T, kLanes>& lanes) {
  if constexpr (std::is_same_v<T, Acc<T>>) {
    std::memcpy(p, &lanes, sizeof lanes);
  } else {
    for (int i = 0; i < kLanes; ++i) store(p + i, lanes[i]);
  }
}

}  // namespace infgrand
