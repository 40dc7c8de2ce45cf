// Gives back the memory of weight files that an engine has mapped and no longer needs; Python's
// mapped.py says why. Linux only; elsewhere nothing is dropped.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sdrt {

// While it lives, keeps dropping the resident pages of read-only mappings of these files, and once at
// its end.
class DroppingPages {
public:
    explicit DroppingPages(const std::vector<std::filesystem::path>& files);
    ~DroppingPages();
    DroppingPages(const DroppingPages&) = delete;
    DroppingPages& operator=(const DroppingPages&) = delete;

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
