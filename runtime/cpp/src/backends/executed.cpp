#include "backends/executed.hpp"

#include "machine.hpp"

#include <algorithm>
#include <cmath>

namespace sdrt {
namespace {

constexpr double kDigits = 1e4;  // of a share

using Shares = std::vector<std::pair<std::string, double>>;

// Adds up the parts by name, and divides by their sum; the largest first, those of 0 left out.
Shares shares_of(const std::vector<Kernel>& kernels, std::string Kernel::*name) {
    Shares sums;
    double total = 0;
    for (const Kernel& kernel : kernels) {
        total += kernel.macs;
        const auto found = std::find_if(sums.begin(), sums.end(), [&](const auto& one) {
            return one.first == kernel.*name;
        });
        if (found == sums.end()) {
            sums.emplace_back(kernel.*name, kernel.macs);
        } else {
            found->second += kernel.macs;
        }
    }
    sums.erase(std::remove_if(sums.begin(), sums.end(), [](const auto& one) {
                   return one.second <= 0;
               }),
               sums.end());
    std::stable_sort(sums.begin(), sums.end(), [](const auto& left, const auto& right) {
        return left.second > right.second;
    });
    for (auto& [key, sum] : sums) {
        sum = std::nearbyint(sum / total * kDigits) / kDigits;
    }
    return sums;
}

}  // namespace

Executed executed(const std::vector<Kernel>& kernels) {
    Executed found;
    found.shares = shares_of(kernels, &Kernel::precision);
    found.precision = found.shares.empty() ? "unknown" : found.shares.front().first;
    const Shares sets = shares_of(kernels, &Kernel::isa);
    const std::string isa = sets.empty() ? "" : sets.front().first;
    found.isa = isa.empty() ? widest_instruction_set(found.precision) : isa;
    found.isa_from = isa.empty() ? "processor" : "kernels";
    return found;
}

Executed executed_only(const std::string& precision) {
    Shares shares;
    if (precision != "unknown") {
        shares.emplace_back(precision, 1.0);
    }
    return {precision, shares, widest_instruction_set(precision), "processor"};
}

}  // namespace sdrt
