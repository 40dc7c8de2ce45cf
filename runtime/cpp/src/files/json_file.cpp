#include "files/json_file.hpp"

#include "errors.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>
#include <system_error>
#include <unordered_map>
#include <vector>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

// Limits for writing a number without an exponent.
constexpr int kMaxPlaces = 16;
constexpr int kMaxLeadingZeros = 5;

// Builds a value from the parser's events. While an object is built its names are in a hash table,
// because a linear search for each name would take hours for a long object.
class Builder : public nlohmann::json_sax<Json> {
public:
    explicit Builder(int max_depth) : max_depth_(static_cast<std::size_t>(max_depth)) {}

    Json take() { return std::move(root_); }
    const std::string& problem() const { return problem_; }

    bool null() override { return add(nullptr); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override { return add(value); }
    // Whole numbers that do not fit into 64 bits arrive here too and become floating-point numbers.
    bool number_float(number_float_t value, const string_t&) override { return add(value); }
    bool string(string_t& value) override { return add(std::move(value)); }
    bool binary(binary_t& value) override { return add(std::move(value)); }
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool key(string_t& value) override {
        open_.back().key = value;
        return true;
    }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::detail::exception& error) override {
        // Error 406 is a number out of range such as 1e999, which Python reads as infinity.
        problem_ = std::string(error.id == 406 ? "a number is not finite" : "a syntax error") +
                   " at byte " + std::to_string(position);
        return false;
    }

private:
    struct Open {
        Json value;
        std::string key;  // of an object's next value
        std::unordered_map<std::string, std::size_t> positions;
    };

    bool open(Json value) {
        if (open_.size() >= max_depth_) {
            problem_ = "it nests deeper than " + std::to_string(max_depth_);
            return false;
        }
        open_.push_back({std::move(value), {}, {}});
        return true;
    }

    bool close() {
        Json value = std::move(open_.back().value);
        open_.pop_back();
        return add(std::move(value));
    }

    bool add(Json value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return true;
        }
        Open& holder = open_.back();
        if (holder.value.is_array()) {
            holder.value.push_back(std::move(value));
            return true;
        }
        // Inserts into the container, because the map's own insertion compares with every name.
        Json::object_t::Container& members = holder.value.get_ref<Json::object_t&>();
        const auto [position, is_new] = holder.positions.emplace(holder.key, members.size());
        if (is_new) {
            members.emplace_back(holder.key, std::move(value));
        } else {
            members[position->second].second = std::move(value);
        }
        return true;
    }

    std::size_t max_depth_;
    std::vector<Open> open_;
    Json root_;
    std::string problem_;
};

// The shortest digits that parse to the same number, laid out as pydantic does.
std::string pydantic_number(double value) {
    std::array<char, 40> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value),
                                   std::chars_format::scientific);
    const std::string_view text(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
    const auto e = text.find('e');
    std::string digits(1, text[0]);
    digits += e > 2 ? text.substr(2, e - 2) : "";
    const int point = std::stoi(std::string(text.substr(e + 1))) + 1;  // digits before it
    const int count = static_cast<int>(digits.size());
    const std::string sign = std::signbit(value) ? "-" : "";
    if (value == 0) {
        return sign + "0.0";
    }
    if (point > kMaxPlaces || point <= -kMaxLeadingZeros) {
        const std::string exponent = (point > 0 ? "e+" : "e") + std::to_string(point - 1);
        return sign + (count > 1 ? digits.insert(1, ".") : digits) + exponent;
    }
    if (point <= 0) {
        return sign + "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
    }
    if (point < count) {
        return sign + digits.insert(static_cast<std::size_t>(point), ".");
    }
    return sign + digits + std::string(static_cast<std::size_t>(point - count), '0') + ".0";
}

void write(const Json& json, std::size_t depth, std::string& text) {
    if (json.is_number_float()) {
        text += pydantic_number(json.get<double>());
        return;
    }
    if (!json.is_structured() || json.empty()) {
        text += json.dump();
        return;
    }
    const bool is_object = json.is_object();
    text += is_object ? '{' : '[';
    bool is_first = true;
    for (const auto& member : json.items()) {
        text += is_first ? "\n" : ",\n";
        text.append(depth + 1, ' ');
        if (is_object) {
            text += Json(member.key()).dump() + ": ";
        }
        write(member.value(), depth + 1, text);
        is_first = false;
    }
    text += '\n';
    text.append(depth, ' ');
    text += is_object ? '}' : ']';
}

}  // namespace

std::string read_text(const fs::path& path, std::int64_t max_bytes) {
    std::error_code code;
    const auto status = fs::status(path, code);
    if (!fs::exists(status)) {
        throw ArtifactError("cannot read " + path.string() + ": No such file or directory");
    }
    // Opening a named pipe would wait for a writer.
    if (!fs::is_regular_file(status)) {
        throw ArtifactError("cannot read " + path.string() + ": it is no regular file");
    }
    std::ifstream file(path, std::ios::binary);
    std::string text;
    std::string chunk(1U << 16U, '\0');
    while (file) {
        file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
        text.append(chunk, 0, static_cast<std::size_t>(file.gcount()));
        if (text.size() > static_cast<std::size_t>(max_bytes)) {
            throw ArtifactError(path.string() + " has more than " + std::to_string(max_bytes) +
                                " bytes; expected a smaller file");
        }
    }
    if (!file.eof()) {
        throw ArtifactError("cannot read " + path.string() + ": " +
                            std::generic_category().message(errno));
    }
    return text;
}

Json parse_json(std::string_view text, const std::string& what, int max_depth) {
    Builder builder(max_depth);
    // The parser would skip a byte order mark, which is no JSON.
    const bool has_mark = text.substr(0, 3) == "\xef\xbb\xbf";
    if (has_mark || !Json::sax_parse(text.begin(), text.end(), &builder)) {
        throw ArtifactError(what + " is not valid JSON (" +
                            (has_mark ? "a mark of byte order" : builder.problem()) +
                            "); export the model again");
    }
    return builder.take();
}

Json read_json(const fs::path& path, std::int64_t max_bytes, int max_depth) {
    return parse_json(read_text(path, max_bytes), path.string(), max_depth);
}

std::string indented(const Json& json) {
    std::string text;
    write(json, 0, text);
    return text;
}

}  // namespace sdrt
