#include "files/atomic.hpp"

#include "errors.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <random>
#include <system_error>
#include <utility>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

// The name that Python's whole_file gives a temporary file.
fs::path temporary_name(const fs::path& path) {
    std::random_device random;
    std::string digits;
    for (int i = 0; i < 8; ++i) {
        digits += "0123456789abcdef"[random() & 15U];
    }
    return path.parent_path() / ("." + path.filename().string() + "." + digits);
}

// Removes its file at the end, unless the file was renamed.
class TemporaryFile {
public:
    explicit TemporaryFile(fs::path path) : path_(std::move(path)) {}
    ~TemporaryFile() { std::remove(path_.c_str()); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    // Whether all bytes were handed to the system; otherwise errno holds the reason.
    bool write(const std::string& bytes) const {
        std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path_.c_str(), "wbx"),
                                                             &std::fclose);
        if (!file || std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) {
            return false;
        }
        return std::fclose(file.release()) == 0;
    }
    bool rename_to(const fs::path& path) const {
        return std::rename(path_.c_str(), path.c_str()) == 0;
    }

private:
    fs::path path_;
};

}  // namespace

void write_atomically(const fs::path& path, const std::string& bytes) {
    const TemporaryFile temporary(temporary_name(path));
    if (!temporary.write(bytes) || !temporary.rename_to(path)) {
        throw WriteError("cannot write " + path.string() + ": " +
                         std::generic_category().message(errno) +
                         "; check the folder, its permissions and the free space");
    }
}

}  // namespace sdrt
