// The state of one run: cancellation, timings, executed precision, warnings and fallbacks.
#pragma once

#include "backends/backend.hpp"
#include "errors.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sdrt {

// Seconds by what they were spent on.
struct Timings {
    Named<double> load_s;  // opening and compiling each network
    double text_encoder_s = 0;
    std::vector<double> step_s;
    double vae_decoder_s = 0;

    void add_load(const std::string& network, double seconds);
    // The sum over all networks.
    double loading_s() const;
    std::string to_json() const;
};

struct RunState {
    explicit RunState(Cancellation& shared_cancellation) : cancellation(shared_cancellation) {}

    Cancellation& cancellation;
    Timings timings;
    std::int64_t evaluations = 0;           // of the U-Net
    std::int64_t unguided_evaluations = 0;  // of these, without the negative prompt in a guided run
    Named<NetworkRecord> networks;
    std::vector<std::string> warnings;
    std::string place;  // where the run is: "step 3 of 20"
    // For networks that failed in the precision they were opened in.
    std::map<std::string, std::shared_ptr<Backend>> fallbacks;
    std::map<std::string, Retry> retries;

    // Does some work of the run. Errors of networks in it name the place.
    template <class Work>
    auto at(const std::string& work_place, const Work& work) {
        place = work_place;
        try {
            return work();
        } catch (const NonFiniteError& error) {
            throw NonFiniteError(work_place + ": " + error.what());
        } catch (const CancelledError& error) {
            throw CancelledError(work_place + ": " + error.what());
        }
    }

    // Continues on another backend with a network that failed in a precision.
    void fall_back(const std::string& network, std::shared_ptr<Backend> backend,
                   const std::string& failed);

    // Records what a network executed. Call it after the network ran and before it is released.
    void record(const Graph& graph);

    // A warning for each precision that was executed but not requested.
    std::vector<std::string> precision_warnings(const Backend& backend,
                                                const std::string& model_precision) const;
};

// Seconds of a steady clock, to be subtracted from each other.
double now_s();

}  // namespace sdrt
