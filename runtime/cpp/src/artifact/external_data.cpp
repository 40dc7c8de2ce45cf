#include "artifact/external_data.hpp"

#include "errors.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 64;             // of nested graphs
constexpr std::uint64_t kMaxText = 4096;  // bytes of a name
constexpr std::uint64_t kFarSkip = 1U << 16U;

struct Problem : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The messages of onnx.proto that contain tensors, directly or in a nested message.
enum class Message { model, graph, node, attribute, sparse, training, function, tensor, none };

// The message that a field of another message holds.
Message field_message(Message message, std::uint64_t field) {
    switch (message) {
        case Message::model:
            return field == 7    ? Message::graph
                   : field == 20 ? Message::training
                   : field == 25 ? Message::function
                                 : Message::none;
        case Message::graph:
            return field == 1    ? Message::node
                   : field == 5  ? Message::tensor
                   : field == 15 ? Message::sparse
                                 : Message::none;
        case Message::node: return field == 5 ? Message::attribute : Message::none;
        case Message::attribute:
            return field == 5 || field == 10    ? Message::tensor
                   : field == 6 || field == 11  ? Message::graph
                   : field == 22 || field == 23 ? Message::sparse
                                                : Message::none;
        case Message::sparse: return field <= 2 ? Message::tensor : Message::none;
        case Message::training: return field <= 2 ? Message::graph : Message::none;
        case Message::function:
            return field == 7 ? Message::node : field == 11 ? Message::attribute : Message::none;
        default: return Message::none;
    }
}

// Reads the fields of a protobuf file and skips the weights.
class OnnxReader {
public:
    explicit OnnxReader(const fs::path& path) : file_(path, std::ios::binary) {
        std::error_code code;
        size_ = fs::file_size(path, code);
        if (code || !file_) {
            throw Problem("it cannot be read");
        }
    }

    std::map<std::string, std::uint64_t> read() {
        bool has_graph = false;
        visit(size_, [&](std::uint64_t field, std::uint64_t end) {
            has_graph |= field == 7;
            descend(field_message(Message::model, field), end, 1);
        });
        if (!has_graph) {
            throw Problem("it has no graph");
        }
        return std::move(file_ends_);
    }

private:
    // Calls `take(field, end)` for each field with a length and skips what it did not read.
    template <class Take>
    void visit(std::uint64_t end, const Take& take) {
        visit(end, take, [](std::uint64_t, std::uint64_t) {});
    }

    template <class Take, class TakeNumber>
    void visit(std::uint64_t end, const Take& take, const TakeNumber& take_number) {
        while (at_ < end) {
            const std::uint64_t key = number(end);
            const std::uint64_t field = key >> 3U;
            switch (key & 7U) {
                case 0: take_number(field, number(end)); break;
                case 1: skip_to(at_ + 8, end); break;
                case 2: {
                    const std::uint64_t length = number(end);
                    if (length > end - at_) {
                        throw Problem("a field is longer than the file");
                    }
                    const std::uint64_t field_end = at_ + length;
                    take(field, field_end);
                    skip_to(field_end, end);
                    break;
                }
                case 5: skip_to(at_ + 4, end); break;
                default: throw Problem("a field is of unknown kind");
            }
        }
    }

    void descend(Message message, std::uint64_t end, int depth) {
        if (message == Message::none) {
            return;
        }
        if (depth > kMaxDepth) {
            throw Problem("its graphs nest too deep");
        }
        if (message == Message::tensor) {
            tensor(end);
            return;
        }
        visit(end, [&](std::uint64_t field, std::uint64_t field_end) {
            descend(field_message(message, field), field_end, depth + 1);
        });
    }

    void tensor(std::uint64_t end) {
        constexpr std::uint64_t kExternalData = 13;
        constexpr std::uint64_t kDataLocation = 14;
        std::optional<std::string> location;
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
        bool is_external = false;
        const auto entry = [&](std::uint64_t field, std::uint64_t field_end) {
            if (field != kExternalData) {
                return;
            }
            is_external = true;
            const auto [key, value] = pair(field_end);
            if (key == "location") {
                location = value;
            } else if (key == "offset") {
                offset = parsed(value);
            } else if (key == "length") {
                length = parsed(value);
            } else if (key != "checksum") {
                throw Problem("a tensor's external data has an unknown entry " + sdrt::quoted(key));
            }
        };
        visit(end, entry, [&](std::uint64_t field, std::uint64_t value) {
            is_external |= field == kDataLocation && value != 0;
        });
        if (!is_external) {
            return;
        }
        if (!location) {
            throw Problem("a tensor is in another file without a name");
        }
        if (length > std::numeric_limits<std::uint64_t>::max() - offset) {
            throw Problem("a tensor's external data ends nowhere");
        }
        std::uint64_t& file_end = file_ends_[*location];
        file_end = std::max(file_end, offset + length);
    }

    std::pair<std::string, std::string> pair(std::uint64_t end) {
        std::pair<std::string, std::string> result;
        visit(end, [&](std::uint64_t field, std::uint64_t field_end) {
            if (field == 1) {
                result.first = text(field_end);
            } else if (field == 2) {
                result.second = text(field_end);
            }
        });
        return result;
    }

    static std::uint64_t parsed(const std::string& text) {
        std::uint64_t value = 0;
        const char* const end = text.data() + text.size();
        const auto [rest, code] = std::from_chars(text.data(), end, value);
        if (code != std::errc() || rest != end) {
            throw Problem("a tensor's place is " + sdrt::quoted(text) + ", which is no number");
        }
        return value;
    }

    std::string text(std::uint64_t end) {
        if (end - at_ > kMaxText) {
            throw Problem("a tensor's external data has an entry that is too long");
        }
        std::string result(end - at_, '\0');
        file_.read(result.data(), static_cast<std::streamsize>(result.size()));
        at_ = end;
        check_file();
        return result;
    }

    std::uint64_t number(std::uint64_t end) {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ >= end) {
                throw Problem("it ends within a field");
            }
            const auto byte = static_cast<std::uint64_t>(file_.get());
            ++at_;
            check_file();
            value |= (byte & 0x7fU) << shift;
            if ((byte & 0x80U) == 0) {
                return value;
            }
        }
        throw Problem("a number is too long");
    }

    void skip_to(std::uint64_t target, std::uint64_t end) {
        if (target > end) {
            throw Problem("it ends within a field");
        }
        if (target - at_ < kFarSkip) {
            file_.ignore(static_cast<std::streamsize>(target - at_));
        } else {
            file_.seekg(static_cast<std::streamoff>(target));
        }
        at_ = target;
        check_file();
    }

    void check_file() const {
        if (!file_) {
            throw Problem("it cannot be read to its end");
        }
    }

    std::ifstream file_;
    std::uint64_t size_ = 0;
    std::uint64_t at_ = 0;
    std::map<std::string, std::uint64_t> file_ends_;
};

}  // namespace

std::map<std::string, std::uint64_t> external_data(const fs::path& graph) {
    try {
        return OnnxReader(graph).read();
    } catch (const Problem& problem) {
        throw ArtifactError(graph.string() + " is no ONNX graph that sdrt reads: " +
                            problem.what() + "; export the model again");
    }
}

}  // namespace sdrt
