#include "machine.hpp"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace sdrt {
namespace {

std::string read(const std::string& path) {
    std::ifstream file(path);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
        text.pop_back();
    }
    return text;
}

// The number of processors whose time the control group allows; 0 without a limit.
double container_quota() {
    std::string quota;
    double period = 0;
    std::istringstream(read("/sys/fs/cgroup/cpu.max")) >> quota >> period;
    if (period > 0 && quota != "max") {
        return std::stod(quota) / period;
    }
    double old_quota = 0;
    double old_period = 0;
    std::istringstream(read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")) >> old_quota;
    std::istringstream(read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")) >> old_period;
    return old_quota > 0 && old_period > 0 ? old_quota / old_period : 0;
}

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

int usable_cores() {
    std::set<std::string> cores;
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) {
            const auto number = std::to_string(cpu);
            const auto siblings =
                read("/sys/devices/system/cpu/cpu" + number + "/topology/thread_siblings_list");
            cores.insert(siblings.empty() ? number : siblings);
        }
    }
    const auto count = static_cast<int>(cores.size());
    const double quota = container_quota();
    return std::max(1, quota > 0 ? std::min(count, static_cast<int>(std::ceil(quota))) : count);
}

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
