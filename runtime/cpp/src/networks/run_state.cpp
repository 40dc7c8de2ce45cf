#include "networks/run_state.hpp"

#include "files/json_file.hpp"
#include "machine.hpp"
#include "validation.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace sdrt {

double now_s() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since).count();
}

void Timings::add_load(const std::string& network, double seconds) {
    for (auto& [name, spent] : load_s) {
        if (name == network) {
            spent += seconds;
            return;
        }
    }
    load_s.emplace_back(network, seconds);
}

double Timings::loading_s() const {
    return std::accumulate(load_s.begin(), load_s.end(), 0.0,
                           [](double sum, const auto& one) { return sum + one.second; });
}

std::string Timings::to_json() const {
    Json record;
    record["load_s"] = Json::object();
    for (const auto& [name, spent] : load_s) {
        record["load_s"][name] = spent;
    }
    record["text_encoder_s"] = text_encoder_s;
    record["step_s"] = step_s;
    record["vae_decoder_s"] = vae_decoder_s;
    return record.dump();
}

void Job::fall_back(const std::string& network, std::shared_ptr<Backend> backend,
                    const std::string& failed) {
    warnings.push_back(place + ": " + network + " gave NaN or infinity in " + failed +
                       " and went on in fp32");
    fallbacks[network] = std::move(backend);
    retries[network] = Retry{failed, place};
    networks.erase(std::remove_if(networks.begin(), networks.end(),
                                  [&](const auto& one) { return one.first == network; }),
                   networks.end());
}

void Job::record(const Graph& graph) {
    const std::string& name = graph.network().name;
    if (find(networks, name) != nullptr) {
        return;
    }
    const Executed found = graph.executed();
    NetworkRecord kept{graph.network().stored, found.precision, found.shares, found.isa,
                       found.isa_from, {}};
    const auto retried = retries.find(name);
    if (retried != retries.end()) {
        kept.retried = retried->second;
    }
    networks.emplace_back(name, std::move(kept));
}

std::vector<std::string> Job::precision_warnings(const Backend& backend,
                                                 const std::string& model_precision) const {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> names;
    for (const auto& [name, one] : networks) {
        const bool is_int8 = one.stored == "int8";
        const std::string asked = backend.precision().value_or(is_int8 ? "int8" : "");
        const bool is_kept = asked == "int8" && model_precision == "int8" && !is_int8;
        const bool is_known = one.retried || is_kept || one.executed == "unknown";
        if (!asked.empty() && asked != one.executed && !is_known) {
            names[{asked, one.executed}].push_back(name);
        }
    }
    std::vector<std::string> found;
    for (const auto& [pair, those] : names) {
        found.push_back(backend.name() + " was asked for " + pair.first + " and executed " +
                        pair.second + ": " + joined(those));
    }
    const bool is_any_int8 = std::any_of(networks.begin(), networks.end(), [](const auto& one) {
        return one.second.stored == "int8";
    });
    if (is_any_int8 && !has_int8()) {
        found.emplace_back("this processor has no VNNI: int8 is slow here, and sums may overflow; "
                           "better use the model in fp32");
    }
    return found;
}

}  // namespace sdrt
