// What a run keeps while the pipeline works for it: its wish to cancellation, and what it found out.
#pragma once

#include "backends/backend.hpp"
#include "errors.hpp"
#include "images/metadata.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sdrt {

// Seconds, by what they were spent on.
struct Timings {
    Named<double> load_s;  // opening and compiling, per network
    double text_encoder_s = 0;
    std::vector<double> step_s;
    double vae_decoder_s = 0;

    void add_load(const std::string& network, double seconds);
    double loading_s() const;  // of all networks
    std::string to_json() const;
};

struct Job {
    explicit Job(Cancellation& asked) : cancellation(asked) {}

    Cancellation& cancellation;
    Timings timings;
    Named<NetworkRecord> networks;
    std::vector<std::string> warnings;
    std::string place;  // where the run is: "step 3 of 20"
    // For networks that could not be executed as asked.
    std::map<std::string, std::shared_ptr<Backend>> fallbacks;
    std::map<std::string, Retry> retries;

    // Does some work, and names the place in errors of networks.
    template <class Work>
    auto at(const std::string& where, const Work& work) {
        place = where;
        try {
            return work();
        } catch (const NonFiniteError& error) {
            throw NonFiniteError(where + ": " + error.what());
        } catch (const CancelledError& error) {
            throw CancelledError(where + ": " + error.what());
        }
    }

    // Goes on with another backend for a network that failed in a precision just now.
    void fall_back(const std::string& network, std::shared_ptr<Backend> backend,
                   const std::string& failed);

    // Keeps what a network executed: after it ran, and before it is released.
    void record(const Graph& graph);

    // A warning for each precision that was executed and not asked for; see Python's run.py.
    std::vector<std::string> precision_warnings(const Backend& backend,
                                                const std::string& model_precision) const;
};

// Seconds since some moment; measured in pieces.
double now_s();

}  // namespace sdrt
