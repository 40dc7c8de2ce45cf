// Drops the resident pages of weight files that an engine has mapped and copied. Python's
// mapped_weights.py explains why. Linux only; nothing is dropped on other systems.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sdrt {

// While it lives, a thread keeps dropping the resident pages of read-only mappings of these files.
// The destructor drops them once more.
class MappedPageDropper {
public:
    explicit MappedPageDropper(const std::vector<std::filesystem::path>& files);
    ~MappedPageDropper();
    MappedPageDropper(const MappedPageDropper&) = delete;
    MappedPageDropper& operator=(const MappedPageDropper&) = delete;

private:
    void drop() const;
    void drop_until_done();

    std::set<std::string> names_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool is_done_ = false;
    std::thread worker_;
};

}  // namespace sdrt
