// What an engine really ran: its kernels, and in which precision they did how much of the work.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sdrt {

// One node of a compiled graph.
struct Kernel {
    std::string precision;   // of its arithmetic: "fp32", "bf16", "int8", ...
    double macs = 0;         // multiply-adds of one run
    std::string isa;         // instruction set, where the engine names it
};

struct Executed {
    std::string precision;  // what most multiply-adds ran in; "unknown" where nobody tells
    std::vector<std::pair<std::string, double>> shares;  // of the multiply-adds, largest first
    std::string isa;        // instruction set of most multiply-adds
    std::string isa_from;   // "kernels", or "processor" where only that tells which one is chosen
};

// Sums up the kernels of a network.
Executed executed(const std::vector<Kernel>& kernels);

// What an engine ran that has no other arithmetic for a network.
Executed executed_only(const std::string& precision);

}  // namespace sdrt
