#include "backends/openvino/mapped_weights.hpp"

#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <system_error>

namespace sdrt {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(200);

}  // namespace

DroppingPages::DroppingPages(const std::vector<std::filesystem::path>& files) {
    for (const auto& file : files) {
        std::error_code failed;
        const auto name = std::filesystem::canonical(file, failed);
        if (!failed) {
            names_.insert(name.string());
        }
    }
    worker_ = std::thread(&DroppingPages::drop_until_done, this);
}

DroppingPages::~DroppingPages() {
    {
        const std::lock_guard lock(mutex_);
        is_done_ = true;
    }
    ended_.notify_one();
    worker_.join();
    try {
        drop();
    } catch (const std::exception&) {  // the pages stay, and nothing is lost
    }
}

void DroppingPages::drop_until_done() {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kInterval, [this] { return is_done_; })) {
        try {
            drop();
        } catch (const std::exception&) {
            return;
        }
    }
}

void DroppingPages::drop() const {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::istringstream fields(line);
        std::uintptr_t begin = 0;
        std::uintptr_t end = 0;
        char dash = 0;
        std::string rights, offset, device, inode, name;
        fields >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> inode;
        std::getline(fields >> std::ws, name);
        if (rights.find('w') == std::string::npos && names_.count(name) > 0) {
            // An address of this very process, as the system has just given it.
            madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
        }
    }
}

}  // namespace sdrt
