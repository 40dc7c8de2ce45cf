// The samplers of this host, and what a run needs to know about each.
#pragma once

#include "sampling/schedule.hpp"

#include <string>
#include <string_view>

namespace sdrt {

struct Sampler {
    std::string_view name;
    Grid grid;          // which timesteps evenly spaced steps take
    bool ends_at_zero;  // otherwise at the lowest noise level of training
    double eta;         // default share of new noise
};

// The sampler of a name. Throws UnsupportedError if this host has none.
const Sampler& registered_sampler(const std::string& name);

}  // namespace sdrt
