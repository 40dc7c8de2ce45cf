// A compiled network: arrays by name in, arrays by name out.
#pragma once

#include "arrays.hpp"
#include "backends/cancellation.hpp"
#include "backends/executed.hpp"
#include "manifest.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sdrt {

// A network's files, checked and ready for an engine.
struct Network {
    std::string name;
    GraphSpec spec;
    std::vector<std::filesystem::path> files;  // the file to open, then its weights
    std::string stored;                        // precision of the weights: "fp32", "bf16" or "int8"
};

using Shapes = std::map<std::string, Shape>;

// A view of an input's values, last dimension fastest. The graph's manifest entry says
// whether they are float32 or int64.
struct Feed {
    const void* values;
    Shape shape;

    template <class T>
    explicit Feed(const Array<T>& array) : values(array.data()),
                                           shape(array.shape) {}
    explicit Feed(const float& scalar) : values(&scalar) {}
};
using Feeds = std::map<std::string, Feed>;

using Outputs = std::map<std::string, Tensor>;  // all are float32

class Graph {
public:
    explicit Graph(Network network) : network_(std::move(network)) {}
    virtual ~Graph() = default;
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    const Network& network() const { return network_; }

    // Checks the names and shapes of the feeds, runs once, and returns the named outputs.
    // Throws ArtifactError for feeds that the graph does not take, NonFiniteError for NaN
    // or infinity in an output, and CancelledError when cancellation is requested, which
    // ends the run inside the network.
    Outputs run(const Feeds& feeds, const std::vector<std::string>& outputs,
                Cancellation& cancellation);

    // Compiles for these input shapes now, so that the first run need not.
    virtual void prepare(const Shapes& /*shapes*/) {}

    // What the engine executed in the last run.
    virtual Executed executed() const = 0;

protected:
    virtual Outputs execute(const Feeds& feeds, const std::vector<std::string>& outputs,
                            Cancellation& cancellation) = 0;

private:
    void check(const Feeds& feeds, const std::vector<std::string>& outputs) const;

    Network network_;
};

}  // namespace sdrt
