// torch draws with the Mersenne Twister mt19937 and turns pairs of uniform numbers into normal ones
// (Box and Muller 1958). For 16 and more numbers it does so in float32 with the polynomials of the
// Cephes library (Moshier 1989) and fused multiply-adds. Every rounding matters: compile this file
// with -ffp-contract=off and without -ffast-math.

#include "sampling/noise.hpp"

#include "errors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace sdrt {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr std::size_t kGroup = 16;  // how many uniform numbers become normal ones at a time

// Coefficients from the Cephes mathematical library, single precision.
constexpr std::array kLog = {7.0376836292e-2F,  -1.1514610310e-1F, 1.1676998740e-1F,
                             -1.2420140846e-1F, 1.4249322787e-1F,  -1.6668057665e-1F,
                             2.0000714765e-1F,  -2.4999993993e-1F, 3.3333331174e-1F};
constexpr float kLog2High = 0.693359375F, kLog2Low = -2.12194440e-4F;
constexpr float kRootOfHalf = 0.70710678118654752F;
constexpr std::array kSine = {-1.9515295891e-4F, 8.3321608736e-3F, -1.6666654611e-1F};
constexpr std::array kCosine = {2.443315711809948e-5F, -1.388731625493765e-3F,
                                4.166664568298827e-2F};
constexpr std::array kQuarterPi = {0.78515625F, 2.4187564849853515625e-4F, 3.77489497744594108e-8F};
constexpr auto kTwoPi = static_cast<float>(2 * kPi);
constexpr auto kOctants = static_cast<float>(4 / kPi);

template <std::size_t N>
float polynomial(float x, const std::array<float, N>& coefficients) {
    float y = coefficients[0];
    for (std::size_t i = 1; i < N; ++i) {
        y = std::fma(y, x, coefficients[i]);
    }
    return y;
}

// Natural logarithm of x in (0, 1].
float log_of(float x) {
    int exponent = 0;
    const float mantissa = std::frexp(x, &exponent);
    const bool is_small = mantissa < kRootOfHalf;
    const float e = static_cast<float>(exponent) - (is_small ? 1.0F : 0.0F);
    const float f = (mantissa - 1.0F) + (is_small ? mantissa : 0.0F);
    const float z = f * f;
    float y = polynomial(f, kLog) * f;
    y = std::fma(y, z, e * kLog2Low);
    y = std::fma(z, -0.5F, y);
    return std::fma(e, kLog2High, f + y);
}

struct SineCosine {
    float sine;
    float cosine;
};

// Sine and cosine of x in [0, 2 pi).
SineCosine sine_cosine(float x) {
    const int octant = (static_cast<int>(x * kOctants) + 1) & ~1;
    const auto turns = static_cast<float>(octant);
    for (const float part : kQuarterPi) {
        x = std::fma(turns, -part, x);
    }
    const float z = x * x;
    float cosine = polynomial(z, kCosine) * z;
    cosine = std::fma(cosine, z, z * -0.5F) + 1.0F;
    const float sine = std::fma(polynomial(z, kSine) * z, x, x);
    const bool is_swapped = (octant & 2) != 0;
    const float sine_sign = (octant & 4) != 0 ? -1.0F : 1.0F;
    const float cosine_sign = ((octant - 2) & 4) != 0 ? 1.0F : -1.0F;
    return {(is_swapped ? cosine : sine) * sine_sign, (is_swapped ? sine : cosine) * cosine_sign};
}

// Turns sixteen uniform numbers into sixteen normal ones; number i pairs with number i + 8.
void box_muller(float* values) {
    for (std::size_t i = 0; i < kGroup / 2; ++i) {
        float &first = values[i], &second = values[i + kGroup / 2];
        const float radius = std::sqrt(-2.0F * log_of(1.0F - first));
        const auto [sine, cosine] = sine_cosine(kTwoPi * second);
        // torch multiplies by a deviation of one and adds a mean of zero, which turns -0 into 0.
        first = radius * cosine + 0.0F;
        second = radius * sine + 0.0F;
    }
}

}  // namespace

NormalStream::NormalStream(std::uint64_t seed)
    : bits_(static_cast<std::mt19937::result_type>(seed & 0xFFFFFFFFU)) {
    if (seed > kMaxSeed) {
        throw UsageError("seed is " + std::to_string(seed) +
                         "; expected a whole number from 0 to " + std::to_string(kMaxSeed));
    }
}

void NormalStream::draw(float* values, std::size_t size) {
    if (size < kGroup) {
        std::generate_n(values, size, [this] { return draw_one(); });
        return;
    }
    std::generate_n(values, size, [this] { return uniform(); });
    const std::size_t whole = size - size % kGroup;
    for (std::size_t start = 0; start < whole; start += kGroup) {
        box_muller(values + start);
    }
    if (whole < size) {  // torch draws the last sixteen again
        float* last = values + size - kGroup;
        std::generate_n(last, kGroup, [this] { return uniform(); });
        box_muller(last);
    }
}

// 24 random bits as a number in [0, 1).
float NormalStream::uniform() { return static_cast<float>(bits_() & 0xFFFFFFU) * 0x1p-24F; }

// 53 random bits as a number in [0, 1).
double NormalStream::uniform_double() {
    const std::uint64_t high = bits_();
    const std::uint64_t low = bits_();
    const std::uint64_t bits = (high << 32 | low) & ((std::uint64_t{1} << 53) - 1);
    return static_cast<double>(bits) * 0x1p-53;
}

float NormalStream::draw_one() {
    if (spare_) {
        const double normal = *spare_;
        spare_.reset();
        return static_cast<float>(normal);
    }
    const double u1 = uniform_double();
    const double u2 = uniform_double();
    const double radius = std::sqrt(-2.0 * std::log1p(-u2));
    const double theta = 2.0 * kPi * u1;
    spare_ = radius * std::sin(theta);
    return static_cast<float>(radius * std::cos(theta));
}

Noise::Noise(const std::vector<std::uint64_t>& seeds) {
    for (const std::uint64_t seed : seeds) {
        streams_.emplace_back(seed);
    }
}

Tensor Noise::draw(const Shape& shape) {
    Shape all{static_cast<std::int64_t>(streams_.size())};
    all.insert(all.end(), shape.begin(), shape.end());
    Tensor noise(std::move(all));
    const std::size_t size = count(shape);
    for (std::size_t i = 0; i < streams_.size(); ++i) {
        streams_[i].draw(noise.data() + i * size, size);
    }
    return noise;
}

}  // namespace sdrt
