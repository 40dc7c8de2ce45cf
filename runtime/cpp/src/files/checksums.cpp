#include "files/checksums.hpp"

#include "errors.hpp"
#include "files/sha256.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <system_error>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kNanoseconds = 1'000'000'000;

// `$XDG_CACHE_HOME/sdrt` or `~/.cache/sdrt`; empty for a user without a home.
fs::path cache_folder() {
    if (const char* base = std::getenv("XDG_CACHE_HOME"); base != nullptr && *base != '\0') {
        return fs::path(base) / "sdrt";
    }
    const char* home = std::getenv("HOME");
    return home != nullptr && *home != '\0' ? fs::path(home) / ".cache" / "sdrt" : fs::path();
}

// The empty file whose existence records that this file passed.
fs::path mark_of(const fs::path& path, const struct stat& status, const FileRecord& record) {
    std::error_code code;
    const fs::path folder = cache_folder();
    const fs::path real = fs::canonical(path, code);
    if (folder.empty() || code) {
        return {};
    }
    const std::int64_t changed =
        static_cast<std::int64_t>(status.st_mtim.tv_sec) * kNanoseconds + status.st_mtim.tv_nsec;
    const std::string key = real.string() + "|" + std::to_string(changed) + "|" +
                            std::to_string(status.st_ino) + "|" + std::to_string(status.st_size) +
                            "|" + record.sha256;
    return folder / "verified" / sha256(key);
}

// In a home that cannot be written to, the file is only hashed again the next time.
void leave_mark(const fs::path& mark) {
    std::error_code code;
    fs::create_directories(mark.parent_path(), code);
    if (!code) {
        std::ofstream(mark, std::ios::app).flush();
    }
}

}  // namespace

void check_file(const fs::path& path, const FileRecord& record, bool remember) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) {
        throw ArtifactError(path.string() + " is missing (" +
                            std::generic_category().message(errno) + "); export the model again");
    }
    // Opening a named pipe would wait for a writer.
    if (!S_ISREG(status.st_mode)) {
        throw ArtifactError(path.string() + " is no regular file; export the model again");
    }
    if (status.st_size != record.size) {
        throw ArtifactError(path.string() + " has " + std::to_string(status.st_size) +
                            " bytes, expected " + std::to_string(record.size) +
                            ": the file is truncated or was replaced; export or copy the model "
                            "again");
    }
    std::error_code code;
    const fs::path mark = mark_of(path, status, record);
    if (remember && !mark.empty() && fs::exists(mark, code)) {
        return;
    }
    const std::string digest = sha256_file(path);
    if (digest != record.sha256) {
        throw ArtifactError(path.string() + " is corrupt: its SHA-256 is " + digest.substr(0, 12) +
                            "..., expected " + record.sha256.substr(0, 12) +
                            "...; export or copy the model again");
    }
    if (!mark.empty()) {
        leave_mark(mark);
    }
}

}  // namespace sdrt
