#include "arguments.hpp"

#include "errors.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>

namespace sdrt::host {
namespace {

constexpr std::size_t kHelpColumn = 34;

// Whether a number starts with a space, which strtod and strtoll would skip, or is empty.
bool has_bad_start(const std::string& text) {
    return text.empty() || std::isspace(static_cast<unsigned char>(text.front())) != 0;
}

}  // namespace

Arguments::Arguments(std::string command, std::string argument, std::vector<Option> options,
                     const std::vector<std::string>& words)
    : command_(std::move(command)),
      argument_name_(std::move(argument)),
      options_(std::move(options)) {
    bool only_arguments = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (only_arguments || word.size() < 2 || word[0] != '-') {
            take_argument(word);
            continue;
        }
        if (word == "--") {
            only_arguments = true;
            continue;
        }
        const bool is_long = word[1] == '-';
        const std::size_t end = is_long ? std::min(word.find('='), word.size()) : 2;
        const Option& option = find(word.substr(0, end));
        std::vector<std::string>& values = values_[option.names.front()];
        if (option.metavar.empty()) {
            if (end != word.size()) {
                throw UsageError("option " + word.substr(0, end) + " takes no value");
            }
            values.emplace_back();
        } else if (end != word.size()) {
            values.push_back(word.substr(end + (is_long ? 1 : 0)));
        } else if (i + 1 < words.size()) {
            values.push_back(words[++i]);
        } else {
            throw UsageError("option " + word + " needs a value: " + option.metavar);
        }
    }
}

const Option& Arguments::find(const std::string& spelling) const {
    for (const Option& option : options_) {
        if (std::find(option.names.begin(), option.names.end(), spelling) != option.names.end()) {
            return option;
        }
    }
    throw UsageError("no such option: " + spelling + "; see: " + command_ + " --help");
}

void Arguments::take_argument(const std::string& word) {
    if (argument_ || argument_name_.empty()) {
        throw UsageError("unexpected argument '" + word + "'; see: " + command_ + " --help");
    }
    argument_ = word;
}

const std::string& Arguments::required() const {
    if (!argument_) {
        throw UsageError("missing argument " + argument_name_ + "; see: " + command_ + " --help");
    }
    return *argument_;
}

std::optional<std::string> Arguments::text(const std::string& option) const {
    const auto entry = values_.find(option);
    return entry == values_.end() ? std::nullopt : std::optional(entry->second.back());
}

std::vector<std::string> Arguments::all(const std::string& option) const {
    const auto entry = values_.find(option);
    return entry == values_.end() ? std::vector<std::string>{} : entry->second;
}

std::optional<std::int64_t> Arguments::whole(const std::string& option) const {
    const auto value_text = text(option);
    if (!value_text) {
        return std::nullopt;
    }
    char* end = nullptr;
    errno = 0;
    const long long value = std::strtoll(value_text->c_str(), &end, 10);
    if (has_bad_start(*value_text) || *end != '\0' || errno == ERANGE) {
        throw UsageError(option + " is '" + *value_text + "'; expected a whole number");
    }
    return value;
}

std::optional<double> Arguments::number(const std::string& option) const {
    const auto value_text = text(option);
    if (!value_text) {
        return std::nullopt;
    }
    char* end = nullptr;
    const double value = std::strtod(value_text->c_str(), &end);
    if (has_bad_start(*value_text) || *end != '\0') {
        throw UsageError(option + " is '" + *value_text + "'; expected a number");
    }
    return value;
}

std::string Arguments::help() const {
    std::string text = "Usage: " + command_ + " [OPTIONS]" +
                       (argument_name_.empty() ? "" : " " + argument_name_) + "\n\nOptions:\n";
    for (const Option& option : options_) {
        std::string line = "  ";
        for (const std::string& name : option.names) {
            line += (line.size() > 2 ? ", " : "") + name;
        }
        line += option.metavar.empty() ? "" : " " + option.metavar;
        line.resize(std::max(kHelpColumn, line.size() + 2), ' ');
        text += line + option.help + "\n";
    }
    return text;
}

}  // namespace sdrt::host
