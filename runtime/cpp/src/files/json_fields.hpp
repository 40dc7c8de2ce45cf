// Reads a JSON object field by field, checks types and ranges, and refuses unknown fields.
#pragma once

#include "files/json_file.hpp"
#include "manifest.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace sdrt {

// A wrong field; the message has its place, such as "latent.channels", and what was expected.
class FieldProblem : public std::runtime_error {
public:
    FieldProblem(const std::string& where, const std::string& problem)
        : std::runtime_error((where.empty() ? "the file" : where) + ": " + problem) {}
};

// Each reads one value; `where` is its place for the message. All throw FieldProblem.
const std::string& as_string(const Json& value, const std::string& where);
// Also accepts a number such as 64.0, which JSON does not distinguish from 64.
std::int64_t as_whole(const Json& value, const std::string& where,
                      std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                      std::int64_t high = std::numeric_limits<std::int64_t>::max());
double as_number(const Json& value, const std::string& where);
bool as_flag(const Json& value, const std::string& where);
// The value of a sampler option: true, 2, 0.5 or "midpoint".
Option as_option(const Json& value, const std::string& where);

// Reads each element of a list with `read(value, where)`.
template <class Read>
auto as_list(const Json& value, const std::string& where, const Read& read) {
    if (!value.is_array()) {
        throw FieldProblem(where, "expected a list");
    }
    std::vector<std::decay_t<decltype(read(value, where))>> result;
    for (std::size_t i = 0; i < value.size(); ++i) {
        result.push_back(read(value[i], where + "." + std::to_string(i)));
    }
    return result;
}

// Reads each value of an object with arbitrary names.
template <class Read>
auto as_named(const Json& value, const std::string& where, const Read& read) {
    if (!value.is_object()) {
        throw FieldProblem(where, "expected an object");
    }
    Named<std::decay_t<decltype(read(value, where))>> result;
    for (const auto& [name, member] : value.items()) {
        result.emplace_back(name, read(member, where + "." + name));
    }
    return result;
}

class Fields {
public:
    // The object must outlive this.
    Fields(const Json& object, std::string where);

    // A required field.
    const Json& get(const std::string& name);
    // An optional field; nullptr if it is left out.
    const Json* find(const std::string& name);
    // The place of a field, for messages.
    std::string place(const std::string& name) const;
    // To be called after all fields were read. Throws FieldProblem for a field that was not read.
    void finish() const;

    std::string text(const std::string& name) { return as_string(get(name), place(name)); }
    // A text that is one of these.
    std::string choice(const std::string& name, const std::vector<std::string>& allowed);
    std::int64_t whole(const std::string& name, std::int64_t low) {
        return as_whole(get(name), place(name), low);
    }
    double number(const std::string& name) { return as_number(get(name), place(name)); }

    // These leave `value` as it is if the field is left out.
    void text_or(const std::string& name, std::string& value);
    void choice_or(const std::string& name, const std::vector<std::string>& allowed,
                   std::string& value);
    void whole_or(const std::string& name, std::int64_t low, std::int64_t high,
                  std::int64_t& value);

private:
    const Json& object_;
    std::string where_;
    std::set<std::string> read_;
};

}  // namespace sdrt
