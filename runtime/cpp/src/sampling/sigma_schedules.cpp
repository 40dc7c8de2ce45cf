#include "sampling/sigma_schedules.hpp"

#include "errors.hpp"

#include <algorithm>
#include <cmath>

namespace sdrt {

namespace {

// Even in the rho-th root (Karras et al. 2022, arXiv 2206.00364, eq. 5).
std::vector<double> karras(double high, double low, std::int64_t count, double rho) {
    std::vector<double> levels = linspace(std::pow(high, 1 / rho), std::pow(low, 1 / rho), count);
    for (double& level : levels) {
        level = std::pow(level, rho);
    }
    return levels;
}

// Even in the logarithm.
std::vector<double> exponential(double high, double low, std::int64_t count) {
    std::vector<double> levels = linspace(std::log10(high), std::log10(low), count);
    for (double& level : levels) {
        level = std::pow(10.0, level);
    }
    levels.front() = high;
    if (count > 1) {
        levels.back() = low;
    }
    return levels;
}

}  // namespace

const std::vector<std::string>& spacing_names() {
    static const std::vector<std::string> names = {"karras", "exponential"};
    return names;
}

std::vector<double> levels_of(const std::string& scheduler, double high, double low,
                              std::int64_t count, std::optional<double> rho) {
    if (scheduler == "karras") {
        return karras(high, low, count, rho.value_or(7.0));
    }
    if (scheduler == "exponential") {
        return exponential(high, low, count);
    }
    throw UnsupportedError("this host has no scheduler " + sdrt::quoted(scheduler));
}

std::vector<double> linspace(double start, double stop, std::int64_t count) {
    std::vector<double> values(static_cast<std::size_t>(count), start);
    if (count < 2) {
        return values;
    }
    const double step = (stop - start) / static_cast<double>(count - 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(i) * step + start;
    }
    values.back() = stop;
    return values;
}

double interpolated(double place, const std::vector<double>& places,
                    const std::vector<double>& values) {
    if (!(place > places.front())) {
        return std::isnan(place) ? place : values.front();
    }
    const auto above = std::upper_bound(places.begin(), places.end(), place);
    if (above == places.end()) {
        return values.back();
    }
    const auto i = static_cast<std::size_t>(above - places.begin()) - 1;
    const double slope = (values[i + 1] - values[i]) / (places[i + 1] - places[i]);
    return slope * (place - places[i]) + values[i];
}

}  // namespace sdrt
