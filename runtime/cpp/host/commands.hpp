// The commands of sdrt-host. Each parses its command line and throws sdrt::Error.
#pragma once

#include "arguments.hpp"
#include "backends/cancellation.hpp"
#include "networks/open_model.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sdrt::host {

using Words = std::vector<std::string>;

void generate(const Words& words);
void info(const Words& words);
void check(const Words& words);

// Whether a command line asks for help, which comes before any error in it.
bool wants_help(const Words& words);

// The options of all commands that open a model on an engine.
std::vector<Option> engine_options();
LoadOptions load_options(const Arguments& arguments);

// The model folder that --model names.
std::string model_path(const Arguments& arguments);

// While it lives, Ctrl-C requests this cancellation. Create it before the engines start their
// threads, which inherit the signal mask that leaves Ctrl-C to the listener.
class CtrlCListener {
public:
    explicit CtrlCListener(Cancellation& cancellation);
    ~CtrlCListener();
    CtrlCListener(const CtrlCListener&) = delete;
    CtrlCListener& operator=(const CtrlCListener&) = delete;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Thrown after Ctrl-C ended a run.
struct Interrupted {};

}  // namespace sdrt::host
