// Sigma schedules: how a run's noise levels are distributed between the highest and the lowest, by
// the names that --scheduler accepts. Each gives `count` falling levels.
#pragma once

#include "arrays.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// The names of the schedules in Python's order, without "default".
const std::vector<std::string>& sigma_schedule_names();

// The levels of a schedule. `rho` applies to "karras"; nothing stands for its usual value.
Doubles sigma_schedule(const std::string& name, double high, double low, std::int64_t count,
                       std::optional<double> rho = {});

// `count` evenly spaced values from `start` to `stop`, both included,
// as numpy.linspace computes them.
Doubles linspace(double start, double stop, std::int64_t count);

// Linear interpolation between points whose `places` ascend, as numpy.interp computes it.
double interpolate(double place, const Doubles& places, const Doubles& values);

}  // namespace sdrt
