// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sdrt {

class Sha256 {
public:
    void update(const void* data, std::size_t size);
    // The digest as 64 digits in lower case. Call it once, after all updates.
    std::string hex_digest();

private:
    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::uint64_t total_ = 0;
};

// The digest of a text, as 64 digits.
std::string sha256(std::string_view data);

// Hashes a file without reading it whole into memory. Throws ArtifactError if it cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace sdrt
