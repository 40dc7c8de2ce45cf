// What runs graphs: the seam of one method, and the choice of an engine behind it.
#pragma once

#include "arrays.hpp"
#include "artifact/artifact.hpp"
#include "backends/cancellation.hpp"
#include "backends/executed.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

using Shapes = std::map<std::string, Shape>;

// An input: somebody else's values, row by row. The graph says whether they are float32 or int64.
struct Feed {
    const void* values;
    Shape shape;

    template <class T>
    explicit Feed(const Array<T>& array) : values(array.data()), shape(array.shape) {}
    explicit Feed(const float& scalar) : values(&scalar) {}
};
using Feeds = std::map<std::string, Feed>;

using Outputs = std::map<std::string, Tensor>;  // all are float32

// One compiled network: arrays by name in, arrays by name out.
class Graph {
public:
    explicit Graph(Network network) : network_(std::move(network)) {}
    virtual ~Graph() = default;
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    const Network& network() const { return network_; }

    // Runs once, after names and shapes were checked, and gives the outputs that are asked for.
    // Throws ArtifactError for feeds that the graph does not take, NonFiniteError for NaN or
    // infinity in the result, CancelledError when `stop` is asked from another thread: the run then
    // ends inside the network.
    Outputs run(const Feeds& feeds, const std::vector<std::string>& asked, Stop& stop);

    // Compiles for these input shapes now, so that the first run need not.
    virtual void prepare(const Shapes& /*shapes*/) {}

    // What the engine ran the last time.
    virtual Executed executed() const = 0;

protected:
    virtual Outputs execute(const Feeds& feeds, const std::vector<std::string>& asked,
                            Stop& stop) = 0;

private:
    void check(const Feeds& feeds, const std::vector<std::string>& asked) const;

    Network network_;
};

// How an engine is asked for.
struct EngineOptions {
    std::optional<std::string> name;       // nothing: the fastest of this build
    std::optional<std::string> device;     // the engine's own name: "CPU", "GPU"
    std::optional<std::string> precision;  // to execute; nothing: what the artifact stores
    std::optional<std::int64_t> threads;
};

// An engine with its settings.
class Backend {
public:
    virtual ~Backend() = default;

    virtual std::string name() const = 0;
    // Formats it opens, best first.
    virtual std::vector<std::string> formats() const = 0;
    virtual int threads() const = 0;
    // What the caller asked for.
    virtual std::optional<std::string> precision() const = 0;
    // The same engine asked for fp32; nullptr where the network's floats ran in that already.
    virtual std::shared_ptr<Backend> in_fp32(const Network& network) = 0;
    // Loads one network; throws ArtifactError when the engine refuses the file.
    virtual std::unique_ptr<Graph> open(Network network) = 0;
};

// Names of the engines of this build, fastest first.
const std::vector<std::string>& built_backends();

// Throws UsageError for an unknown name, UnsupportedError for what this build or machine has not.
std::shared_ptr<Backend> open_backend(const EngineOptions& options);

// Each is there in a build with that engine.
std::shared_ptr<Backend> open_onnxruntime(int threads, std::optional<std::string> precision);
std::shared_ptr<Backend> open_openvino(const std::string& device, int threads,
                                       std::optional<std::string> precision);

// The first line of an engine's message that says anything, or the last.
std::string first_line(const std::string& text);
std::string last_line(const std::string& text);

}  // namespace sdrt
