#include "files/sha256.hpp"

#include "errors.hpp"
#include "files/sha256_blocks.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <vector>

namespace sdrt {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20U;

}  // namespace

void Sha256::update(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    while (size > 0) {
        const std::size_t filled = total_ % block_.size();
        if (filled == 0 && size >= block_.size()) {
            const std::size_t whole = size / block_.size();
            compress_blocks(state_, bytes, whole);
            bytes += whole * block_.size();
            size -= whole * block_.size();
            total_ += whole * block_.size();
            continue;
        }
        const std::size_t taken = std::min(size, block_.size() - filled);
        std::memcpy(block_.data() + filled, bytes, taken);
        bytes += taken;
        size -= taken;
        total_ += taken;
        if (filled + taken == block_.size()) {
            compress_blocks(state_, block_.data(), 1);
        }
    }
}

std::string Sha256::hex_digest() {
    const std::uint64_t bits = total_ * 8;
    constexpr std::array<std::uint8_t, 64> kPadding{0x80};
    update(kPadding.data(), 1 + (119 - total_ % 64) % 64);
    std::array<std::uint8_t, 8> length{};
    for (std::size_t i = 0; i < length.size(); ++i) {
        length[i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
    }
    update(length.data(), length.size());
    std::string text;
    for (const auto word : state_) {
        for (unsigned shift = 32; shift > 0; shift -= 4) {
            text += "0123456789abcdef"[(word >> (shift - 4)) & 15U];
        }
    }
    return text;
}

std::string sha256(std::string_view data) {
    Sha256 hash;
    hash.update(data.data(), data.size());
    return hash.hex_digest();
}

std::string sha256_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> chunk(kChunkBytes);
    Sha256 hash;
    while (file) {
        file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
        hash.update(chunk.data(), static_cast<std::size_t>(file.gcount()));
    }
    if (!file.eof()) {
        throw ArtifactError("cannot read " + path.string() + ": " +
                            std::generic_category().message(errno));
    }
    return hash.hex_digest();
}

}  // namespace sdrt
