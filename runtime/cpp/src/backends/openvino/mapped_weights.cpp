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

MappedPageDropper::MappedPageDropper(const std::vector<std::filesystem::path>& files) {
    for (const auto& file : files) {
        std::error_code error;
        const auto name = std::filesystem::canonical(file, error);
        if (!error) {
            names_.insert(name.string());
        }
    }
    worker_ = std::thread(&MappedPageDropper::drop_until_done, this);
}

MappedPageDropper::~MappedPageDropper() {
    {
        const std::lock_guard lock(mutex_);
        is_done_ = true;
    }
    ended_.notify_one();
    worker_.join();
    try {
        drop();
    } catch (const std::exception&) {  // the pages stay resident, which costs only memory
    }
}

void MappedPageDropper::drop_until_done() {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kInterval, [this] { return is_done_; })) {
        try {
            drop();
        } catch (const std::exception&) {
            return;
        }
    }
}

void MappedPageDropper::drop() const {
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
            // The kernel has just listed this address for this process.
            madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
        }
    }
}

}  // namespace sdrt
