#include "machine.hpp"

#include <sys/resource.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace sdrt {
namespace {

std::set<std::string> instruction_sets() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("flags", 0) == 0) {
            std::istringstream words(line.substr(line.find(':') + 1));
            return {std::istream_iterator<std::string>(words), {}};
        }
    }
    return {};
}

}  // namespace

bool has_int8() {
    const auto names = instruction_sets();
    return names.empty() || names.count("avx512_vnni") > 0 || names.count("avx_vnni") > 0 ||
           names.count("amx_int8") > 0;
}

std::string widest_instruction_set(const std::string& precision) {
    // The order in which engines that do not name their kernels choose, the best first.
    const std::map<std::string, std::vector<std::string>> by_precision = {
        {"fp32", {"avx512f", "avx2"}},
        {"bf16", {"amx_bf16", "avx512_bf16", "avx512f", "avx2"}},
        {"int8", {"amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2"}},
    };
    const auto candidates = by_precision.find(precision);
    if (candidates != by_precision.end()) {
        const auto available = instruction_sets();
        for (const std::string& name : candidates->second) {
            if (available.count(name) > 0) {
                return name;
            }
        }
    }
    return "unknown";
}

std::int64_t peak_memory_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace sdrt
