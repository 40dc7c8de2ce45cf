#include "sampling/samplers/registry.hpp"

#include "errors.hpp"

#include <algorithm>
#include <array>

namespace sdrt {
namespace {

constexpr std::array kSamplers = {
    Sampler{"ddim", Grid::points, false, 0.0},       Sampler{"euler", Grid::continuous, true, 0.0},
    Sampler{"euler_a", Grid::continuous, true, 1.0}, Sampler{"dpm++2m", Grid::intervals, true, 0.0},
    Sampler{"unipc", Grid::intervals, true, 0.0},    Sampler{"lcm", Grid::distilled, true, 0.0},
};

}  // namespace

const Sampler& registered_sampler(const std::string& name) {
    const auto* entry = std::find_if(kSamplers.begin(), kSamplers.end(),
                                     [&](const Sampler& sampler) { return sampler.name == name; });
    if (entry == kSamplers.end()) {
        throw UnsupportedError("this host has no sampler " + sdrt::quoted(name));
    }
    return *entry;
}

}  // namespace sdrt
