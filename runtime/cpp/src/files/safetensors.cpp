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
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 32;  // of a dimension, exclusive
constexpr std::uint64_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& finding) {
    throw ArtifactError(path.string() + " is no whole safetensors file: " + finding +
                        "; write or copy the file again");
}

// Where an array lies in the data.
struct Place {
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
    return value.is_number_unsigned() && value.get<std::uint64_t>() < kMaxSize;
}

// Bytes of an array; more than `most`, whatever it is, where it has more.
std::uint64_t bytes_of(const Place& place, std::uint64_t most) {
    const auto& shape = place.shape;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
        return 0;
    }
    std::uint64_t bytes = width_of(place.dtype);
    for (const std::int64_t size : shape) {
        if (bytes > most / static_cast<std::uint64_t>(size)) {
            return most + 1;
        }
        bytes *= static_cast<std::uint64_t>(size);
    }
    return bytes;
}

Place read_place(const std::filesystem::path& path, const std::string& name, const Json& entry,
                 std::uint64_t size) {
    const bool is_described =
        entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
        entry["dtype"].is_string() && width_of(entry["dtype"].get<std::string>()) > 0 &&
        entry.contains("shape") && entry["shape"].is_array() &&
        std::all_of(entry["shape"].begin(), entry["shape"].end(), is_count) &&
        entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
        entry["data_offsets"].size() == 2 && entry["data_offsets"][0].is_number_unsigned() &&
        entry["data_offsets"][1].is_number_unsigned();
    if (!is_described) {
        refuse(path, "tensor " + sdrt::quoted(name) + " is not described by dtype, shape and data_offsets");
    }
    Place place{name, entry["dtype"].get<std::string>(), entry["shape"].get<Shape>(),
                entry["data_offsets"][0].get<std::uint64_t>(),
                entry["data_offsets"][1].get<std::uint64_t>()};
    if (place.begin > place.end || place.end > size ||
        place.end - place.begin != bytes_of(place, size)) {
        refuse(path, "tensor " + sdrt::quoted(name) + " is said to lie from " +
                         std::to_string(place.begin) + " to " + std::to_string(place.end) + " of " +
                         std::to_string(size) + " bytes, which is not its size");
    }
    return place;
}

// Together the arrays cover all of the data, once.
void check_cover(const std::filesystem::path& path, std::vector<Place> places,
                 std::uint64_t size) {
    std::sort(places.begin(), places.end(), [](const Place& left, const Place& right) {
        return std::pair(left.begin, left.end) < std::pair(right.begin, right.end);
    });
    std::uint64_t done = 0;
    for (const Place& place : places) {
        if (place.begin != done) {
            refuse(path, "tensor " + sdrt::quoted(place.name) + " begins at " +
                             std::to_string(place.begin) + ", and the one before ends at " +
                             std::to_string(done));
        }
        done = place.end;
    }
    if (done != size) {
        refuse(path, "its tensors have " + std::to_string(done) + " bytes, and its data " +
                         std::to_string(size));
    }
}

template <class T>
Array<T> copied(const Place& place, const std::vector<char>& data) {
    Array<T> array(place.shape);
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(place.begin), place.end - place.begin,
                reinterpret_cast<char*>(array.data()));
    return array;
}

AnyArray read_array(const Place& place, const std::vector<char>& data) {
    if (place.dtype == "I64") {
        return copied<std::int64_t>(place, data);
    }
    if (place.dtype == "F32") {
        return copied<float>(place, data);
    }
    if (place.dtype == "F64") {
        return copied<double>(place, data);
    }
    return copied<std::uint8_t>(place, data);
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

TensorFile read_tensors(const std::filesystem::path& path) {
    std::error_code failed;
    if (!std::filesystem::is_regular_file(path, failed)) {
        throw ArtifactError("cannot read " + path.string() + ": " +
                            (failed ? failed.message() : "it is no file"));
    }
    const std::uint64_t size = std::filesystem::file_size(path, failed);
    std::ifstream file(path, std::ios::binary);
    if (failed || !file) {
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
    TensorFile read;
    std::vector<Place> places;
    const std::uint64_t data_size = size - kLengthBytes - length;
    for (const auto& [name, entry] : header.items()) {
        if (name != kMetadata) {
            places.push_back(read_place(path, name, entry, data_size));
            continue;
        }
        for (const auto& [key, value] : entry.items()) {
            if (!entry.is_object() || !value.is_string()) {
                refuse(path, std::string("its ") + kMetadata + " is not made of texts");
            }
            read.metadata[key] = value.get<std::string>();
        }
    }
    check_cover(path, places, data_size);
    const std::vector<char> data = read_bytes(file, path, data_size);
    for (const Place& place : places) {
        read.tensors.emplace(place.name, read_array(place, data));
    }
    return read;
}

}  // namespace sdrt
