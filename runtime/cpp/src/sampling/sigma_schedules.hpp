// Spacings of noise levels: functions of the highest and lowest level and their number, by the names
// that --scheduler knows. Each gives `count` levels that fall from the one to the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// Their names, in Python's order; "default" is none of them.
const std::vector<std::string>& spacing_names();

// Levels of one of them; `rho` of "karras" and "polyexponential", where nothing is the usual one.
std::vector<double> levels_of(const std::string& scheduler, double high, double low,
                              std::int64_t count, std::optional<double> rho = {});

// Values at `count` places from `start` to `stop`, both included, as numpy.linspace computes them.
std::vector<double> linspace(double start, double stop, std::int64_t count);

// Reads a line through points with ascending places at any place; as numpy.interp.
double interpolated(double place, const std::vector<double>& places,
                    const std::vector<double>& values);

}  // namespace sdrt
