#include "cores.hpp"

#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

constexpr double kSlow = 0.75;    // of the fastest core's capacity
constexpr std::size_t kMany = 2;  // times as many efficiency cores are worth waiting for

struct Core {
    std::set<int> processors;
    std::string package;
    bool is_efficient = false;
};

using Cores = std::vector<Core>;

std::string read(const fs::path& path) {
    std::ifstream file(path);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
        text.pop_back();
    }
    return text;
}

// A number of at most nine digits; -1 for anything else.
int whole(const std::string& text) {
    const bool is_number = !text.empty() && text.size() < 10 &&
                           text.find_first_not_of("0123456789") == std::string::npos;
    return is_number ? std::stoi(text) : -1;
}

// The numbers of a list such as "0-3,8".
std::set<int> numbers(const std::string& text) {
    std::set<int> found;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        const auto dash = part.find('-');
        const int first = whole(part.substr(0, dash));
        const int last = dash == std::string::npos ? first : whole(part.substr(dash + 1));
        for (int number = first; number >= 0 && number <= std::min(last, CPU_SETSIZE); ++number) {
            found.insert(number);
        }
    }
    return found;
}

fs::path processor_folder(const fs::path& root, int number) {
    return root / "sys/devices/system/cpu" / ("cpu" + std::to_string(number));
}

// The processors that are slower than others by their kind: Intel's hybrid processors list them,
// Arm's have a capacity.
std::set<int> efficient(const fs::path& root, const std::set<int>& allowed) {
    auto slow = numbers(read(root / "sys/devices/cpu_atom/cpus"));
    if (!slow.empty()) {
        return slow;
    }
    std::map<int, int> capacities;
    int fastest = 0;
    for (const int number : allowed) {
        const int capacity = whole(read(processor_folder(root, number) / "cpu_capacity"));
        if (capacity >= 0) {
            capacities[number] = capacity;
            fastest = std::max(fastest, capacity);
        }
    }
    for (const auto& [number, capacity] : capacities) {
        if (capacity < kSlow * fastest) {
            slow.insert(number);
        }
    }
    return slow;
}

Cores usable(const fs::path& root, const std::set<int>& allowed) {
    const auto slow = efficient(root, allowed);
    Cores cores;
    std::set<int> seen;
    for (const int number : allowed) {
        if (seen.count(number) > 0) {
            continue;
        }
        const auto topology = processor_folder(root, number) / "topology";
        auto siblings = numbers(read(topology / "thread_siblings_list"));
        siblings.insert(number);
        seen.insert(siblings.begin(), siblings.end());
        Core core{{}, read(topology / "physical_package_id"), slow.count(number) > 0};
        std::set_intersection(siblings.begin(), siblings.end(), allowed.begin(), allowed.end(),
                              std::inserter(core.processors, core.processors.end()));
        cores.push_back(core);
    }
    return cores;
}

// The performance cores, unless there are so many others that they are faster together.
Cores without_slow(const Cores& cores) {
    Cores fast;
    std::copy_if(cores.begin(), cores.end(), std::back_inserter(fast),
                 [](const Core& core) { return !core.is_efficient; });
    const std::size_t slow = cores.size() - fast.size();
    return fast.empty() || slow > kMany * fast.size() ? cores : fast;
}

// The cores of the socket that has most, the first of equals.
Cores of_one_package(const Cores& cores) {
    std::vector<std::string> order;
    std::map<std::string, Cores> packages;
    for (const Core& core : cores) {
        if (packages.count(core.package) == 0) {
            order.push_back(core.package);
        }
        packages[core.package].push_back(core);
    }
    Cores most;
    for (const std::string& package : order) {
        if (packages[package].size() > most.size()) {
            most = packages[package];
        }
    }
    return most;
}

// The control groups of this process and those around it, of version 2 or 1.
std::vector<fs::path> control_groups(const fs::path& root) {
    const auto base = root / "sys/fs/cgroup";
    // A container may show its own group only, whatever its path is outside.
    std::vector<fs::path> folders{base, base / "cpu"};
    std::istringstream lines(read(root / "proc/self/cgroup"));
    for (std::string line; std::getline(lines, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const auto controllers = line.substr(first + 1, second - first - 1);
        if (!controllers.empty() && ("," + controllers + ",").find(",cpu,") == std::string::npos) {
            continue;
        }
        for (const std::string& name :
             {controllers, std::string(controllers.empty() ? "" : "cpu")}) {
            const auto top = name.empty() ? base : base / name;
            auto group = fs::path(line.substr(second + 1)).relative_path();
            for (; !group.empty(); group = group.parent_path()) {
                folders.push_back(top / group);
            }
            folders.push_back(top);
        }
    }
    return folders;
}

// The least processors' worth of time that a control group allows; 0 without a limit.
double quota(const fs::path& root) {
    double least = 0;
    for (const fs::path& folder : control_groups(root)) {
        std::string allowed;
        std::string period;
        std::istringstream(read(folder / "cpu.max")) >> allowed >> period;
        if (allowed.empty()) {
            allowed = read(folder / "cpu.cfs_quota_us");
            period = read(folder / "cpu.cfs_period_us");
        }
        if (whole(allowed) > 0 && whole(period) > 0) {
            const double found = static_cast<double>(whole(allowed)) / whole(period);
            least = least > 0 ? std::min(least, found) : found;
        }
    }
    return least;
}

}  // namespace

Placement placement(const fs::path& root, const std::set<int>& allowed) {
    const auto cores = usable(root, allowed);
    const auto chosen = of_one_package(without_slow(cores));
    Placement place;
    for (const Core& core : chosen) {
        place.processors.insert(core.processors.begin(), core.processors.end());
    }
    const auto count = static_cast<int>(chosen.size());
    const double limit = quota(root);
    place.threads =
        std::max(1, limit > 0 ? std::min(count, static_cast<int>(std::ceil(limit))) : count);
    place.is_part = chosen.size() < cores.size();
    return place;
}

Placement placement() {
    std::set<int> allowed;
    cpu_set_t mask;
    const bool is_known = sched_getaffinity(0, sizeof(mask), &mask) == 0;
    const int count =
        is_known ? CPU_SETSIZE : static_cast<int>(std::thread::hardware_concurrency());
    for (int number = 0; number < count; ++number) {
        if (!is_known || CPU_ISSET(static_cast<std::size_t>(number), &mask)) {
            allowed.insert(number);
        }
    }
    return placement("/", allowed);
}

void take(const Placement& placement) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (const int number : placement.processors) {
        CPU_SET(static_cast<std::size_t>(number), &mask);
    }
    if (!placement.processors.empty()) {
        sched_setaffinity(0, sizeof(mask), &mask);  // where it fails, the system chooses
    }
}

}  // namespace sdrt
