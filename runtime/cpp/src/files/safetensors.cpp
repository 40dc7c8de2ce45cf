#include "files/safetensors.hpp"

#include "errors.hpp"
#include "files/json_file.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <system_error>
#include <vector>

namespace sdrt {
namespace {

constexpr std::uint64_t kMaxHeader = std::uint64_t{1} << 24;
constexpr std::uint64_t kSizeLimit = std::uint64_t{1} << 32;  // of a dimension, exclusive
constexpr std::uint64_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& finding) {
    throw ArtifactError(path.string() + " is no whole safetensors file: " + finding +
                        "; write or copy the file again");
}

// An array's entry in the header; `begin` and `end` are offsets into the data.
struct TensorEntry {
    std::string name;
    std::string dtype;
    Shape shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

std::uint64_t width_of(const std::string& dtype) {
    return dtype == "I64" || dtype == "F64" ? 8 : dtype == "F32" ? 4 : dtype == "U8" ? 1 : 0;
}

bool is_count(const Json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() < kSizeLimit;
}

// The bytes of an array, or `limit + 1` if it has more than `limit`.
std::uint64_t bytes_of(const TensorEntry& entry, std::uint64_t limit) {
    const auto& shape = entry.shape;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
        return 0;
    }
    std::uint64_t bytes = width_of(entry.dtype);
    for (const std::int64_t size : shape) {
        if (bytes > limit / static_cast<std::uint64_t>(size)) {
            return limit + 1;
        }
        bytes *= static_cast<std::uint64_t>(size);
    }
    return bytes;
}

TensorEntry read_entry(const std::filesystem::path& path, const std::string& name, const Json& json,
                       std::uint64_t size) {
    const bool is_described =
        json.is_object() && json.size() == 3 && json.contains("dtype") &&
        json["dtype"].is_string() && width_of(json["dtype"].get<std::string>()) > 0 &&
        json.contains("shape") && json["shape"].is_array() &&
        std::all_of(json["shape"].begin(), json["shape"].end(), is_count) &&
        json.contains("data_offsets") && json["data_offsets"].is_array() &&
        json["data_offsets"].size() == 2 && json["data_offsets"][0].is_number_unsigned() &&
        json["data_offsets"][1].is_number_unsigned();
    if (!is_described) {
        refuse(path, "tensor " + sdrt::quoted(name) +
                         " is not described by dtype, shape and data_offsets");
    }
    TensorEntry entry{name, json["dtype"].get<std::string>(), json["shape"].get<Shape>(),
                      json["data_offsets"][0].get<std::uint64_t>(),
                      json["data_offsets"][1].get<std::uint64_t>()};
    if (entry.begin > entry.end || entry.end > size ||
        entry.end - entry.begin != bytes_of(entry, size)) {
        refuse(path, "tensor " + sdrt::quoted(name) + " is said to lie from " +
                         std::to_string(entry.begin) + " to " + std::to_string(entry.end) + " of " +
                         std::to_string(size) + " bytes, which is not its size");
    }
    return entry;
}

// Refuses arrays that overlap or leave gaps in the data.
void check_cover(const std::filesystem::path& path, std::vector<TensorEntry> entries,
                 std::uint64_t size) {
    std::sort(entries.begin(), entries.end(),
              [](const TensorEntry& left, const TensorEntry& right) {
                  return std::pair(left.begin, left.end) < std::pair(right.begin, right.end);
              });
    std::uint64_t done = 0;
    for (const TensorEntry& entry : entries) {
        if (entry.begin != done) {
            refuse(path, "tensor " + sdrt::quoted(entry.name) + " begins at " +
                             std::to_string(entry.begin) + ", and the one before ends at " +
                             std::to_string(done));
        }
        done = entry.end;
    }
    if (done != size) {
        refuse(path, "its tensors have " + std::to_string(done) + " bytes, and its data " +
                         std::to_string(size));
    }
}

template <class T>
Array<T> copied(const TensorEntry& entry, const std::vector<char>& data) {
    Array<T> array(entry.shape);
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(entry.begin), entry.end - entry.begin,
                reinterpret_cast<char*>(array.data()));
    return array;
}

AnyArray read_array(const TensorEntry& entry, const std::vector<char>& data) {
    if (entry.dtype == "I64") {
        return copied<std::int64_t>(entry, data);
    }
    if (entry.dtype == "F32") {
        return copied<float>(entry, data);
    }
    if (entry.dtype == "F64") {
        return copied<double>(entry, data);
    }
    return copied<std::uint8_t>(entry, data);
}

std::vector<char> read_bytes(std::ifstream& file, const std::filesystem::path& path,
                             std::uint64_t size) {
    std::vector<char> bytes(size);
    file.read(bytes.data(), static_cast<std::streamsize>(size));
    if (static_cast<std::uint64_t>(file.gcount()) != size) {
        refuse(path, "it ended after " + std::to_string(file.gcount()) + " of " +
                         std::to_string(size) + " bytes");
    }
    return bytes;
}

}  // namespace

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
        throw ArtifactError("cannot read " + path.string() + ": " +
                            (error ? error.message() : "it is no file"));
    }
    const std::uint64_t size = std::filesystem::file_size(path, error);
    std::ifstream file(path, std::ios::binary);
    if (error || !file) {
        throw ArtifactError("cannot read " + path.string() + ": Permission denied");
    }
    if (size < kLengthBytes) {
        refuse(path, "it has " + std::to_string(size) + " bytes");
    }
    std::uint64_t length = 0;
    for (const char byte : read_bytes(file, path, kLengthBytes)) {  // little-endian
        length = (length >> 8) | (std::uint64_t{static_cast<unsigned char>(byte)} << 56);
    }
    if (length > kMaxHeader || length > size - kLengthBytes) {
        refuse(path, "its header has " + std::to_string(length) + " bytes, and the file " +
                         std::to_string(size));
    }
    const std::vector<char> text = read_bytes(file, path, length);
    const Json header =
        parse_json({text.data(), text.size()}, path.string() + " is no whole safetensors file");
    if (!header.is_object()) {
        refuse(path, "its header is no JSON object");
    }
    SafetensorsFile content;
    std::vector<TensorEntry> entries;
    const std::uint64_t data_size = size - kLengthBytes - length;
    for (const auto& [name, json] : header.items()) {
        if (name != kMetadata) {
            entries.push_back(read_entry(path, name, json, data_size));
            continue;
        }
        for (const auto& [key, value] : json.items()) {
            if (!json.is_object() || !value.is_string()) {
                refuse(path, std::string("its ") + kMetadata + " is not made of texts");
            }
            content.metadata[key] = value.get<std::string>();
        }
    }
    check_cover(path, entries, data_size);
    const std::vector<char> data = read_bytes(file, path, data_size);
    for (const TensorEntry& entry : entries) {
        content.tensors.emplace(entry.name, read_array(entry, data));
    }
    return content;
}

}  // namespace sdrt
