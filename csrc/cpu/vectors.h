// Storage types, what they are accumulated in, and vectors of the latter.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

// One body, compiled for each x86-64 level and chosen when the library is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define INFGRAND_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"), flatten))
#else
#define INFGRAND_CLONES
#endif
// run(work, begin, end, pass) for every storage type of a Work<T> with a method run.
#define INFGRAND_FOR_TYPES(Work) \
  INFGRAND_RUN(Work, float)      \
  INFGRAND_RUN(Work, double)     \
  INFGRAND_RUN(Work, BFloat16)   \
  INFGRAND_RUN(Work, Half)
#define INFGRAND_RUN(Work, T)                                                               \
  INFGRAND_CLONES void run(const Work<T>& work, int64_t begin, int64_t end, int64_t pass) { \
    work.run(begin, end, pass);                                                             \
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

INFGRAND_INLINE float load(const float* p) { return *p; }
INFGRAND_INLINE double load(const double* p) { return *p; }
INFGRAND_INLINE float load(const Half* p) { return static_cast<float>(*p); }
INFGRAND_INLINE float load(const BFloat16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

INFGRAND_INLINE void store(float* p, float v) { *p = v; }
INFGRAND_INLINE void store(double* p, double v) { *p = v; }
INFGRAND_INLINE void store(Half* p, float v) { *p = static_cast<Half>(v); }
INFGRAND_INLINE void store(BFloat16* p, float v) {  // to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  p->bits = v != v ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Vectors of 32 bytes: compilers keep wider ones in memory where registers are no wider.
template <typename T>
constexpr int kLanes = 32 / sizeof(T);
template <typename T, int lanes = kLanes<T>>
using Vec [[gnu::vector_size(lanes * sizeof(T))]] = T;

template <typename T, typename V>
INFGRAND_INLINE void load_lanes(const T* p, V& v) {
  std::memcpy(&v, p, sizeof v);
}
template <typename T, typename V>
INFGRAND_INLINE void store_lanes(T* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

}  // namespace infgrand
