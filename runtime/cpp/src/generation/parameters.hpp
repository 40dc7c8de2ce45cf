// The parameters of a run's images.
#pragma once

#include "images/metadata.hpp"
#include "networks/open_model.hpp"
#include "request/request.hpp"

#include <cstdint>

namespace sdrt {

// The parameters of the image with this seed, after the run.
Parameters parameters_of(const OpenModel& model, const Request& request, std::uint64_t seed,
                         const RunState& state);

}  // namespace sdrt
