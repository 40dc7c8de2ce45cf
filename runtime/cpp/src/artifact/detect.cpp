#include "artifact/detect.hpp"

#include "errors.hpp"
#include "files/json_file.hpp"
#include "manifest.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cctype>
#include <system_error>
#include <vector>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxConfigBytes = 1'000'000;  // of a file that describes a model
constexpr std::size_t kMaxNames = 4;                 // how many names a message shows

const Named<std::string>& weight_suffixes() {
    static const Named<std::string> suffixes{
        {".safetensors", "safetensors weights"},
        {".ckpt", "a pickled checkpoint"},
        {".pt", "a pickled checkpoint"},
        {".pth", "a pickled checkpoint"},
        {".bin", "raw or pickled weights"},
        {".gguf", "a GGUF file (stable-diffusion.cpp)"},
        {".onnx", "an ONNX graph"},
        {".xml", "an OpenVINO graph"},
    };
    return suffixes;
}

// The kind of weights that a suffix stands for; "" if it stands for none.
std::string weights_kind(const fs::path& path) {
    std::string suffix = path.extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::string* kind = find(weight_suffixes(), suffix);
    return kind != nullptr ? *kind : "";
}

// Null if there is no such file or it is no JSON.
Json read_or_null(const fs::path& path) {
    try {
        return read_json(path, kMaxConfigBytes);
    } catch (const ArtifactError&) {
        return nullptr;
    }
}

bool any_has(const std::vector<fs::path>& entries, const char* name) {
    return std::any_of(entries.begin(), entries.end(), [name](const fs::path& entry) {
        std::error_code code;
        return fs::exists(entry / name, code);
    });
}

std::string text_or(const Json& json, const char* name, const std::string& otherwise) {
    const auto member = json.find(name);
    return member != json.end() && member->is_string() ? member->get<std::string>() : otherwise;
}

std::string describe_pipeline(const std::vector<fs::path>& entries, const Json& index) {
    const std::string name = text_or(index, "_class_name", "an unnamed pipeline");
    if (name.rfind("OV", 0) == 0 || any_has(entries, "openvino_model.xml")) {
        return "an OpenVINO export by optimum-intel (" + name + "), without a manifest of sdrt";
    }
    if (name.rfind("ORT", 0) == 0 || any_has(entries, "model.onnx")) {
        return "an ONNX export (" + name + "), without a manifest of sdrt";
    }
    return "a diffusers checkpoint (" + name + ")";
}

// The network that a config.json describes; "" if it describes none.
std::string network_of(const Json& config) {
    std::string name = text_or(config, "_class_name", "");
    const auto architectures = config.find("architectures");
    if (name.empty() && architectures != config.end() && architectures->is_array()) {
        std::vector<std::string> names;
        for (const auto& entry : *architectures) {
            names.push_back(entry.is_string() ? entry.get<std::string>() : entry.dump());
        }
        name = joined(names);
    }
    return name;
}

}  // namespace

std::string describe_path(const fs::path& path) {
    std::error_code code;
    if (!fs::exists(path, code)) {
        return "nothing: the path does not exist";
    }
    if (!fs::is_directory(path, code)) {
        const std::string kind = weights_kind(path);
        return kind.empty() ? "a file of unknown kind" : kind;
    }
    std::vector<fs::path> entries;
    for (auto entry = fs::directory_iterator(path, code); entry != fs::directory_iterator();
         entry.increment(code)) {
        entries.push_back(entry->path());
    }
    std::sort(entries.begin(), entries.end());
    const Json index = read_or_null(path / "model_index.json");
    if (index.is_object()) {
        return describe_pipeline(entries, index);
    }
    const Json config = read_or_null(path / "config.json");
    if (const auto name = config.is_object() ? network_of(config) : ""; !name.empty()) {
        return "a single network (" + name + "), not a whole pipeline";
    }
    if (fs::is_regular_file(path / "adapter_config.json", code)) {
        return "an adapter (LoRA), not a whole model";
    }
    if (entries.empty()) {
        return "an empty folder";
    }
    std::vector<std::string> names;
    for (const auto& entry : entries) {
        const std::string name = entry.filename().string();
        if (const auto kind = weights_kind(entry); !kind.empty()) {
            return "a folder with " + kind + " (" + name + ") and no model_index.json";
        }
        names.push_back(name);
    }
    const bool are_more = names.size() > kMaxNames;
    names.resize(std::min(names.size(), kMaxNames));
    return "a folder that holds no model (" + joined(names) + (are_more ? ", ...)" : ")");
}

}  // namespace sdrt
