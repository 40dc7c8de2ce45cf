#include "diagnostics/conformance/tolerance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace sdrt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMinMagnitude = 1e-6;  // the least divisor of a relative difference
constexpr double kPeak = 255;

bool is_decibel(const std::string& measure) { return measure == "sqnr_db" || measure == "psnr_db"; }

double measured(const std::string& measure, const ArrayPair& pair) {
    if (pair.golden_shape != pair.actual_shape) {
        return is_decibel(measure) ? -kInfinity : kInfinity;
    }
    double differing = 0;
    double signal = 0;
    double error = 0;
    double relative = 0;
    for (std::size_t i = 0; i < pair.golden.size(); ++i) {
        const double golden = pair.golden[i];
        const double difference = pair.actual[i] - golden;
        differing += difference == 0 ? 0 : 1;
        signal += golden * golden;
        error += difference * difference;
        // In this order of the comparison NaN becomes the maximum.
        const double ratio = std::abs(difference) / std::max(std::abs(golden), kMinMagnitude);
        relative = ratio <= relative ? relative : ratio;
    }
    if (measure == "equal") {
        return differing;
    }
    if (measure == "relative") {
        return relative;
    }
    if (error == 0) {
        return kInfinity;
    }
    const double mean = error / static_cast<double>(pair.golden.size());
    return 10 * std::log10(measure == "sqnr_db" ? signal / error : kPeak * kPeak / mean);
}

std::string formatted(const char* format, double value) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

std::string text_of(const std::string& measure, double value, bool is_within) {
    if (measure == "equal") {
        return value == 0 ? "equal" : formatted("%.0f values differ", value);
    }
    if (std::isinf(value)) {
        return is_within ? "equal" : "of another shape";
    }
    if (measure == "relative") {
        return formatted("%.1e relative", value);
    }
    return formatted("%.1f dB ", value) + (measure == "sqnr_db" ? "SQNR" : "PSNR");
}

}  // namespace

const std::vector<std::string>& stage_names() {
    static const std::vector<std::string> all = {"ids",    "weights", "embeddings", "noise",
                                                 "sigmas", "unet",    "denoised",   "latents",
                                                 "pixels", "picture"};
    return all;
}

StageTolerances fp32_tolerances() {
    return {{"ids", {"equal", 0}},           {"weights", {"relative", 1e-6}},
            {"embeddings", {"sqnr_db", 60}}, {"noise", {"equal", 0}},
            {"sigmas", {"relative", 1e-6}},  {"unet", {"sqnr_db", 60}},
            {"denoised", {"sqnr_db", 80}},   {"latents", {"sqnr_db", 80}},
            {"pixels", {"psnr_db", 50}},     {"picture", {"psnr_db", 50}}};
}

StageTolerances reduced_tolerances() {
    StageTolerances tolerances = fp32_tolerances();
    tolerances["embeddings"].limit = 20;
    tolerances["unet"].limit = 20;
    tolerances["pixels"].limit = 35;
    tolerances["picture"].limit = 20;
    return tolerances;
}

bool Difference::is_within() const { return is_decibel(measure) ? value >= limit : value <= limit; }

bool Difference::is_larger_than(const Difference& other) const {
    return is_decibel(measure) ? !(value >= other.value) : !(value <= other.value);
}

std::string Difference::text() const { return text_of(measure, value, is_within()); }

std::string Difference::limit_text() const { return text_of(measure, limit, true); }

Difference compare(const Tolerance& tolerance, const ArrayPairs& pairs) {
    Difference largest{tolerance.measure, 0, tolerance.limit};
    bool is_first = true;
    for (const ArrayPair& pair : pairs) {
        const Difference difference{tolerance.measure, measured(tolerance.measure, pair),
                                    tolerance.limit};
        if (is_first || difference.is_larger_than(largest)) {
            largest = difference;
        }
        is_first = false;
    }
    return largest;
}

}  // namespace sdrt
