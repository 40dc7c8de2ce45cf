// Reruns a network in fp32 after NaN or infinity.
#pragma once

#include "networks/loaded.hpp"

#include <string>
#include <vector>

namespace sdrt {

// Runs networks. After NaN or infinity a network is rerun in fp32,
// which it keeps until the run ends.
class NetworkRunner {
public:
    // `networks` must outlive this. Without `retry_in_fp32`, NaN and infinity are errors at once.
    NetworkRunner(LoadedNetworks& networks, bool retry_in_fp32)
        : networks_(networks),
          retry_in_fp32_(retry_in_fp32) {}

    // Returns the named outputs. Throws NonFiniteError if fp32 gives NaN or infinity too, if the
    // feeds have them, or if the network ran in fp32 already.
    Outputs run(const std::string& network, const Feeds& feeds,
                const std::vector<std::string>& outputs, RunState& state);

private:
    LoadedNetworks& networks_;
    bool retry_in_fp32_;
};

}  // namespace sdrt
