#include "networks/run_state.hpp"

#include "files/json_file.hpp"
#include "machine.hpp"
#include "validation.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

namespace sdrt {

double now_s() {
    const auto since_epoch = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since_epoch).count();
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
                           [](double sum, const auto& load) { return sum + load.second; });
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

void RunState::fall_back(const std::string& network, std::shared_ptr<Backend> backend,
                         const std::string& failed) {
    warnings.push_back(place + ": " + network + " gave NaN or infinity in " + failed +
                       " and went on in fp32");
    fallbacks[network] = std::move(backend);
    retries[network] = Retry{failed, place};
    networks.erase(std::remove_if(networks.begin(), networks.end(),
                                  [&](const auto& entry) { return entry.first == network; }),
                   networks.end());
}

void RunState::record(const Graph& graph) {
    const std::string& name = graph.network().name;
    if (find(networks, name) != nullptr) {
        return;
    }
    const Executed executed = graph.executed();
    NetworkRecord network{graph.network().stored, executed.precision, executed.shares,
                          executed.isa,           executed.isa_from,  {}};
    const auto retry = retries.find(name);
    if (retry != retries.end()) {
        network.retried = retry->second;
    }
    networks.emplace_back(name, std::move(network));
}

std::vector<std::string> RunState::precision_warnings(const Backend& backend,
                                                      const std::string& model_precision) const {
    // The networks by the precision requested and the precision executed.
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> mismatches;
    for (const auto& [name, network] : networks) {
        const bool is_int8 = network.stored == "int8";
        const std::string requested = backend.precision().value_or(is_int8 ? "int8" : "");
        // An int8 model keeps some networks in float.
        const bool is_kept_float = requested == "int8" && model_precision == "int8" && !is_int8;
        const bool is_explained = network.retried || is_kept_float || network.executed == "unknown";
        if (!requested.empty() && requested != network.executed && !is_explained) {
            mismatches[{requested, network.executed}].push_back(name);
        }
    }
    std::vector<std::string> messages;
    for (const auto& [precisions, names] : mismatches) {
        messages.push_back(backend.name() + " was asked for " + precisions.first +
                           " and executed " + precisions.second + ": " + joined(names));
    }
    const bool is_any_int8 = std::any_of(networks.begin(), networks.end(), [](const auto& entry) {
        return entry.second.stored == "int8";
    });
    if (is_any_int8 && !has_int8()) {
        messages.emplace_back(
            "this processor has no VNNI: int8 is slow here, and sums may "
            "overflow; better use the model in fp32");
    }
    return messages;
}

}  // namespace sdrt
