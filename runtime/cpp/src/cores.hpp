// Which cores a process computes on: what the system says of them, and its limits.
#pragma once

#include <filesystem>
#include <set>

namespace sdrt {

struct Placement {
    // How many threads compute.
    int threads = 1;
    // The logical processors of the cores in use.
    std::set<int> processors;
    // Whether cores are left out, so that threads have to be kept off them.
    bool is_part = false;
};

// Where a process is to compute that may use some logical processors. `root` is where `sys` and
// `proc` are.
Placement placement(const std::filesystem::path& root, const std::set<int>& allowed);

// The same for this process and this machine.
Placement placement();

// Keeps the threads that this one starts from now on to the processors of a placement.
void take(const Placement& placement);

}  // namespace sdrt
