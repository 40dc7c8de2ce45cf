// What an engine executed: its kernels, the share of the work in each
// precision, and the record of it.
#pragma once

#include "manifest.hpp"

#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// One node of a compiled graph.
struct Kernel {
    std::string precision;  // of its arithmetic: "fp32", "bf16", "int8", ...
    double macs = 0;        // multiply-adds of one run
    std::string isa;        // instruction set; "" if the engine does not name it
};

struct Executed {
    std::string precision;  // of most multiply-adds; "unknown" if the engine does not report it
    Named<double> shares;   // of the multiply-adds, by precision, the largest first
    std::string isa;        // instruction set of most multiply-adds
    std::string isa_from;   // "kernels", or "processor" if the processor decides between kernels
};

// Sums up the kernels of a network.
Executed executed(const std::vector<Kernel>& kernels);

// The summary for an engine that has only one arithmetic for a network.
Executed executed_only(const std::string& precision);

// The precision in which a network gave NaN or infinity, and where: "step 3 of 20".
// The network then continued in fp32.
struct Retry {
    std::string failed;
    std::string at;
};

// The precision in which a network is stored, and what the engine executed.
struct NetworkRecord {
    std::string stored;
    std::string executed;
    Named<double> shares;  // of the multiply-adds, by precision
    std::string isa = "unknown";
    std::string isa_from = "processor";
    std::optional<Retry> retried;
};

}  // namespace sdrt
