// Seeds -> noise, bit for bit what `torch.randn` gives on an x86 CPU and what Python's noise.py does.
#pragma once

#include "arrays.hpp"

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

namespace sdrt {

constexpr std::uint64_t kMaxSeed = (std::uint64_t{1} << 63) - 1;

// What `torch.Generator("cpu").manual_seed(seed)` yields to `torch.randn` in float32.
class NormalStream {
public:
    // Like torch, uses the seed's lower 32 bits. Throws UsageError above kMaxSeed.
    explicit NormalStream(std::uint64_t seed);

    // Fills with the next standard normal numbers. Where it begins and ends matters: fewer than
    // sixteen are drawn in another way.
    void draw(float* values, std::size_t size);

private:
    float uniform();
    double uniform_double();
    float draw_one();

    std::mt19937 bits_;
    std::optional<double> spare_;  // small draws come in pairs; the second is kept
};

// Random streams of a batch: image `i` has its own, which no other image can disturb.
class Noise {
public:
    explicit Noise(const std::vector<std::uint64_t>& seeds);

    // Standard normal noise of `shape` for every image: (images, *shape).
    Tensor draw(const Shape& shape);

private:
    std::vector<NormalStream> streams_;
};

}  // namespace sdrt
