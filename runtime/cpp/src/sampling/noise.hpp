// Seeds -> noise, bit for bit that of `torch.randn` on an x86 CPU and of Python's noise.py.
#pragma once

#include "arrays.hpp"

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

namespace sdrt {

constexpr std::uint64_t kMaxSeed = (std::uint64_t{1} << 63) - 1;

// The stream of `torch.Generator("cpu").manual_seed(seed)` for `torch.randn` in float32.
class NormalStream {
public:
    // Uses the lower 32 bits of the seed, as torch does. Throws UsageError above kMaxSeed.
    explicit NormalStream(std::uint64_t seed);

    // Fills an array with the next standard normal numbers. The size of each call matters, because
    // fewer than sixteen numbers are drawn by another method.
    void draw(float* values, std::size_t size);

private:
    float uniform();
    double uniform_double();
    float draw_one();

    std::mt19937 bits_;
    std::optional<double> spare_;  // the second number of a pair in a small draw
};

// The random streams of a batch. Each image has its own, independent of the other images.
class Noise {
public:
    explicit Noise(const std::vector<std::uint64_t>& seeds);

    // Standard normal noise for every image: (images, *shape).
    Tensor draw(const Shape& shape);

private:
    std::vector<NormalStream> streams_;
};

}  // namespace sdrt
