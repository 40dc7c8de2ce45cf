#include "backends/executed.hpp"

#include "machine.hpp"

#include <algorithm>
#include <cmath>

namespace sdrt {
namespace {

constexpr double kShareScale = 1e4;  // shares are rounded to four decimals

// Sums the multiply-adds by a name of the kernels and divides by the total. The largest share comes
// first; shares of 0 are left out.
Named<double> shares_by(std::string Kernel::*name, const std::vector<Kernel>& kernels) {
    Named<double> sums;
    double total = 0;
    for (const Kernel& kernel : kernels) {
        total += kernel.macs;
        const auto entry = std::find_if(sums.begin(), sums.end(),
                                        [&](const auto& sum) { return sum.first == kernel.*name; });
        if (entry == sums.end()) {
            sums.emplace_back(kernel.*name, kernel.macs);
        } else {
            entry->second += kernel.macs;
        }
    }
    sums.erase(
        std::remove_if(sums.begin(), sums.end(), [](const auto& sum) { return sum.second <= 0; }),
        sums.end());
    std::stable_sort(sums.begin(), sums.end(), [](const auto& left, const auto& right) {
        return left.second > right.second;
    });
    for (auto& [key, sum] : sums) {
        sum = std::nearbyint(sum / total * kShareScale) / kShareScale;
    }
    return sums;
}

}  // namespace

Executed executed(const std::vector<Kernel>& kernels) {
    Executed summary;
    summary.shares = shares_by(&Kernel::precision, kernels);
    summary.precision = summary.shares.empty() ? "unknown" : summary.shares.front().first;
    const Named<double> instruction_sets = shares_by(&Kernel::isa, kernels);
    const std::string isa = instruction_sets.empty() ? "" : instruction_sets.front().first;
    summary.isa = isa.empty() ? widest_instruction_set(summary.precision) : isa;
    summary.isa_from = isa.empty() ? "processor" : "kernels";
    return summary;
}

Executed executed_only(const std::string& precision) {
    Named<double> shares;
    if (precision != "unknown") {
        shares.emplace_back(precision, 1.0);
    }
    return {precision, shares, widest_instruction_set(precision), "processor"};
}

}  // namespace sdrt
