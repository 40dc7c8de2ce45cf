// The verbs of sdrt-host: each reads its words, does its work and throws sdrt::Error.
#pragma once

#include "arguments.hpp"
#include "pipeline.hpp"

#include <string>
#include <vector>

namespace sdrt::host {

using Words = std::vector<std::string>;

void generate(const Words& words);
void info(const Words& words);
void check(const Words& words);

// Whether the words ask for help, before anything in them is found wrong.
bool asks_for_help(const Words& words);

// Options of every verb that opens a model on an engine, and what they mean.
std::vector<Option> engine_options();
LoadOptions load_options(const Arguments& given);

// The model folder that --model names.
std::string model_of(const Arguments& given);

// A run that Ctrl-C cancels while this lives. Engines must start their threads after it: they take
// over that it alone hears of Ctrl-C.
class CancelledByCtrlC {
public:
    explicit CancelledByCtrlC(Cancellation& cancellation);
    ~CancelledByCtrlC();
    CancelledByCtrlC(const CancelledByCtrlC&) = delete;
    CancelledByCtrlC& operator=(const CancelledByCtrlC&) = delete;

private:
    struct Listener;
    std::unique_ptr<Listener> listener_;
};

// Thrown for a run that Ctrl-C ended.
struct Interrupted {};

}  // namespace sdrt::host
