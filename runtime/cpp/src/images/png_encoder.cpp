#include "images/png_encoder.hpp"

#include "text/unicode.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <vector>

namespace sdrt {
namespace {

constexpr std::size_t kChannels = 3;
constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
constexpr std::string_view kEightBitsRgb{"\x08\x02\x00\x00\x00", 5};

using Row = std::vector<std::uint8_t>;

std::string big_endian(std::uint32_t value) {
    std::string bytes;
    for (unsigned shift = 32; shift > 0; shift -= 8) {
        bytes += static_cast<char>(value >> (shift - 8));
    }
    return bytes;
}

// The neighbour that is nearest to left + above - corner (the Paeth predictor).
int paeth(int left, int above, int corner) {
    const int to_left = std::abs(above - corner);
    const int to_above = std::abs(left - corner);
    const int to_corner = std::abs(left + above - 2 * corner);
    if (to_left <= to_above && to_left <= to_corner) {
        return left;
    }
    return to_above <= to_corner ? above : corner;
}

int predicted(int filter, int left, int above, int corner) {
    switch (filter) {
        case 1: return left;
        case 2: return above;
        case 3: return (left + above) / 2;
        case 4: return paeth(left, above, corner);
        default: return 0;
    }
}

// A row after its filter byte. The filter is the one of five that leaves the smallest differences.
Row filtered(const std::uint8_t* row, const Row& before) {
    Row best;
    std::int64_t least = -1;
    for (int filter = 0; filter < 5; ++filter) {
        Row line(1, static_cast<std::uint8_t>(filter));
        std::int64_t sum = 0;
        for (std::size_t i = 0; i < before.size(); ++i) {
            const int left = i < kChannels ? 0 : row[i - kChannels];
            const int corner = i < kChannels ? 0 : before[i - kChannels];
            const auto rest =
                static_cast<std::uint8_t>(row[i] - predicted(filter, left, before[i], corner));
            sum += std::min(int{rest}, 256 - rest);
            line.push_back(rest);
        }
        if (least < 0 || sum < least) {
            least = sum;
            best = std::move(line);
        }
    }
    return best;
}

std::string compressed(const std::string& data) {
    uLongf size = compressBound(data.size());
    std::string result(size, '\0');
    // The buffer is large enough, so the only possible failure is a lack of memory.
    if (compress2(reinterpret_cast<Bytef*>(result.data()), &size,
                  reinterpret_cast<const Bytef*>(data.data()), data.size(),
                  Z_DEFAULT_COMPRESSION) != Z_OK) {
        throw std::bad_alloc();
    }
    result.resize(size);
    return result;
}

}  // namespace

PngEncoder::PngEncoder(int width, int height) : width_(width), height_(height), bytes_(kSignature) {
    add_chunk("IHDR", big_endian(static_cast<std::uint32_t>(width)) +
                          big_endian(static_cast<std::uint32_t>(height)) +
                          std::string(kEightBitsRgb));
}

void PngEncoder::add_chunk(std::string_view type, std::string_view data) {
    const std::string content = std::string(type).append(data);
    const auto checksum =
        crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
    bytes_ += big_endian(static_cast<std::uint32_t>(data.size())) + content +
              big_endian(static_cast<std::uint32_t>(checksum));
}

void PngEncoder::add_text(std::string_view key, std::string_view utf8) {
    const auto letters = decode_utf8(utf8);
    const auto is_latin = [](char32_t letter) { return letter <= 0xff; };
    if (!letters || !std::all_of(letters->begin(), letters->end(), is_latin)) {
        add_international_text(key, utf8);
        return;
    }
    std::string data(key);
    data += '\0';
    for (const char32_t letter : *letters) {
        data += static_cast<char>(letter);
    }
    add_chunk("tEXt", data);
}

void PngEncoder::add_international_text(std::string_view key, std::string_view utf8) {
    // Uncompressed, without a language or a translated key.
    constexpr std::string_view kUncompressed{"\0\0\0\0\0", 5};
    add_chunk("iTXt", std::string(key).append(kUncompressed).append(utf8));
}

std::string PngEncoder::finish(const std::uint8_t* pixels) {
    const std::size_t stride = static_cast<std::size_t>(width_) * kChannels;
    std::string data;
    Row before(stride, 0);
    for (int y = 0; y < height_; ++y) {
        const std::uint8_t* row = pixels + static_cast<std::size_t>(y) * stride;
        const Row line = filtered(row, before);
        data.append(line.begin(), line.end());
        before.assign(row, row + stride);
    }
    add_chunk("IDAT", compressed(data));
    add_chunk("IEND", "");
    return std::move(bytes_);
}

}  // namespace sdrt
