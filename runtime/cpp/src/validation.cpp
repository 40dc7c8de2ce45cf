#include "validation.hpp"

#include "errors.hpp"
#include "files/json_file.hpp"
#include "text/unicode.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace sdrt {
namespace {

constexpr std::int64_t kMinLatent = 8;  // with less, the U-Net's lowest level is a single position
constexpr std::int64_t kMaxSize = 4096;
constexpr double kMinSimilarity = 0.6;
constexpr std::size_t kMaxName = 64;  // a longer name resembles none and is slow to compare

// The total length of the matching blocks of two texts, as Python's difflib finds them: the longest
// common substring, then recursively those to its left and right.
std::size_t matching_length(std::string_view a, std::string_view b) {
    std::size_t best = 0;
    std::size_t in_a = 0;
    std::size_t in_b = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        for (std::size_t j = 0; j < b.size(); ++j) {
            std::size_t length = 0;
            while (i + length < a.size() && j + length < b.size() &&
                   a[i + length] == b[j + length]) {
                ++length;
            }
            if (length > best) {
                best = length, in_a = i, in_b = j;
            }
        }
    }
    return best == 0 ? 0
                     : best + matching_length(a.substr(0, in_a), b.substr(0, in_b)) +
                           matching_length(a.substr(in_a + best), b.substr(in_b + best));
}

[[noreturn]] void refuse(std::string_view name, const std::string& value,
                         const std::string& expected) {
    throw UsageError(std::string(name) + " is " + value + "; expected " + expected);
}

}  // namespace

std::string hint(std::string_view name, const std::vector<std::string>& names) {
    if (name.size() > kMaxName) {
        return "";
    }
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    double best = 0;
    std::string nearest;
    for (const auto& candidate : names) {
        const auto letters = static_cast<double>(candidate.size() + lower.size());
        const double ratio = 2.0 * static_cast<double>(matching_length(candidate, lower)) / letters;
        // Python prefers the alphabetically last among equally similar names.
        if (ratio >= kMinSimilarity && (ratio > best || (ratio == best && candidate > nearest))) {
            best = ratio;
            nearest = candidate;
        }
    }
    return nearest.empty() ? "" : "; did you mean " + sdrt::quoted(nearest) + "?";
}

const std::string& check_known(std::string_view what, const std::string& name,
                               const std::vector<std::string>& names) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
        throw UsageError("unknown " + std::string(what) + " " + sdrt::quoted(name) +
                         "; known: " + joined(names) + hint(name, names));
    }
    return name;
}

std::int64_t check_whole(std::string_view name, std::int64_t value, std::int64_t low,
                         std::int64_t high) {
    if (value < low || value > high) {
        refuse(name, std::to_string(value),
               "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

std::int64_t check_size(std::string_view name, std::int64_t value, std::int64_t downscale) {
    // A larger downscale allows no size at all, and the product might overflow.
    const std::int64_t low = kMinLatent * std::min(downscale, kMaxSize);
    if (value < low || value > kMaxSize || value % downscale != 0) {
        refuse(name, std::to_string(value),
               "a multiple of " + std::to_string(downscale) + " from " + std::to_string(low) +
                   " to " + std::to_string(kMaxSize));
    }
    return value;
}

double check_number(std::string_view name, double value, double high, int low) {
    if (!std::isfinite(value) || value < low || value > high) {
        refuse(name, number_text(value),
               "a finite number from " + std::to_string(low) +
                   (std::isinf(high) ? " up" : " to " + std::to_string(std::lround(high))));
    }
    return value;
}

const std::string& check_text(std::string_view name, const std::string& value) {
    if (!is_utf8(value)) {
        throw UsageError(std::string(name) + " is no text in UTF-8; expected one");
    }
    return value;
}

std::string joined(const std::vector<std::string>& names, std::string_view separator) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text.append(i > 0 ? separator : "").append(names[i]);
    }
    return text;
}

std::string number_text(double value) {
    if (std::isnan(value)) {
        return "nan";
    }
    if (std::isinf(value)) {
        return value < 0 ? "-inf" : "inf";
    }
    return Json(value).dump();
}

std::string short_number(double value) {
    std::array<char, 32> buffer{};
    char* const begin = buffer.data();
    const auto end =
        std::to_chars(begin, begin + buffer.size(), value, std::chars_format::general, 6);
    return {begin, end.ptr};
}

}  // namespace sdrt
