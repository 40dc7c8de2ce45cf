#include "sampling/sigma_schedules.hpp"

#include "errors.hpp"

#include <algorithm>
#include <cmath>

namespace sdrt {

namespace {

// Evenly spaced in the rho-th root (Karras et al. 2022, arXiv 2206.00364, eq. 5).
Doubles karras(double high, double low, std::int64_t count, double rho) {
    Doubles levels = linspace(std::pow(high, 1 / rho), std::pow(low, 1 / rho), count);
    for (double& level : levels) {
        level = std::pow(level, rho);
    }
    return levels;
}

// Evenly spaced in the logarithm.
Doubles exponential(double high, double low, std::int64_t count) {
    Doubles levels = linspace(std::log10(high), std::log10(low), count);
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

const std::vector<std::string>& sigma_schedule_names() {
    static const std::vector<std::string> names = {"karras", "exponential"};
    return names;
}

Doubles sigma_schedule(const std::string& name, double high, double low, std::int64_t count,
                       std::optional<double> rho) {
    if (name == "karras") {
        return karras(high, low, count, rho.value_or(7.0));
    }
    if (name == "exponential") {
        return exponential(high, low, count);
    }
    throw UnsupportedError("this host has no scheduler " + sdrt::quoted(name));
}

Doubles linspace(double start, double stop, std::int64_t count) {
    Doubles values(static_cast<std::size_t>(count), start);
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

double interpolate(double place, const Doubles& places, const Doubles& values) {
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
