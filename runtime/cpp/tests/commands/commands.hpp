// The commands of test-commands, by package. Each turns a JSON command into a JSON result.
#pragma once

#include "arrays.hpp"
#include "files/json_file.hpp"
#include "files/manifest_writer.hpp"
#include "manifest.hpp"
#include "sampling/sampler_settings.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sdrt::test {

using Command = std::function<Json(const Json&)>;
using Commands = std::map<std::string, Command>;

Commands artifact_commands();
Commands cores_commands();
Commands files_commands();
Commands images_commands();
Commands networks_commands();
Commands request_commands();
Commands sampling_commands();
Commands text_commands();

// Reads a member of a command into `value`, if the command has it and it is not null.
template <class T>
void read(const Json& command, const char* name, T& value) {
    if (command.contains(name) && !command.at(name).is_null()) {
        value = command.at(name).get<T>();
    }
}

template <class T>
void read(const Json& command, const char* name, std::optional<T>& value) {
    if (command.contains(name) && !command.at(name).is_null()) {
        value = command.at(name).get<T>();
    }
}

// An array from {"shape": [...], "values": [...]}.
Tensor read_tensor(const Json& json);
Named<Option> read_options(const Json& json);
SamplerSettings read_sampler_settings(const Json& command);

}  // namespace sdrt::test
