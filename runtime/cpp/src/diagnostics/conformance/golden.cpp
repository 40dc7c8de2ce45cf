#include "diagnostics/conformance/golden.hpp"

#include "errors.hpp"
#include "files/json_fields.hpp"
#include "files/json_file.hpp"
#include "files/sha256.hpp"

#include <algorithm>
#include <set>

namespace sdrt {
namespace {

constexpr const char* kFormat = "sdrt-conformance";
constexpr const char* kVersion = "1";

Tolerance read_tolerance(const Json& value, const std::string& where) {
    Fields fields(value, where);
    std::vector<Tolerance> tolerances;
    for (const char* measure : {"relative", "sqnr_db", "psnr_db"}) {
        if (const Json* limit = fields.find(measure); limit != nullptr && !limit->is_null()) {
            tolerances.push_back({measure, as_number(*limit, fields.place(measure))});
            if (tolerances.back().limit <= 0) {
                throw FieldProblem(fields.place(measure), "expected a number above 0");
            }
        }
    }
    if (const Json* equal = fields.find("equal"); equal != nullptr && !equal->is_null()) {
        if (!as_flag(*equal, fields.place("equal"))) {
            throw FieldProblem(fields.place("equal"), "expected true");
        }
        tolerances.push_back({"equal", 0});
    }
    fields.finish();
    if (tolerances.size() != 1) {
        throw FieldProblem(where, "expected one of equal, relative, sqnr_db and psnr_db");
    }
    return tolerances.front();
}

// The default tolerances with those that a case overrides.
StageTolerances read_tolerances(const Json* value, const std::string& where,
                                StageTolerances tolerances) {
    if (value == nullptr) {
        return tolerances;
    }
    for (auto& [stage, tolerance] : as_named(*value, where, read_tolerance)) {
        if (tolerances.count(stage) == 0) {
            throw FieldProblem(where, "there is no stage '" + stage + "'");
        }
        tolerances[stage] = tolerance;
    }
    return tolerances;
}

GoldenCase read_case(const Json& value, const std::string& where) {
    Fields fields(value, where);
    const auto text = [&](const char* name, const std::string& default_value) {
        const Json* member = fields.find(name);
        return member == nullptr ? default_value : as_string(*member, fields.place(name));
    };
    const auto whole = [&](const char* name) {
        return as_whole(fields.get(name), fields.place(name));
    };
    GoldenCase golden;
    golden.name = fields.text("name");
    if (golden.name.empty() || golden.name.find('/') != std::string::npos) {
        throw FieldProblem(fields.place("name"), "expected a name without a slash");
    }
    golden.options.prompt = fields.text("prompt");
    golden.options.negative_prompt = text("negative_prompt", "");
    golden.options.seed = whole("seed");
    golden.options.width = whole("width");
    golden.options.height = whole("height");
    golden.options.num_inference_steps = whole("steps");
    golden.options.sampler = fields.text("sampler");
    golden.options.scheduler = text("scheduler", "default");
    golden.options.guidance_scale = fields.number("guidance_scale");
    if (const Json* options = fields.find("sampler_options")) {
        golden.sampler_options = as_named(*options, fields.place("sampler_options"), as_option);
    }
    golden.unet_steps = as_list(
        fields.get("unet_steps"), fields.place("unet_steps"),
        [](const Json& step, const std::string& place) { return as_whole(step, place, 0); });
    golden.fp32 =
        read_tolerances(fields.find("tolerances"), fields.place("tolerances"), fp32_tolerances());
    golden.reduced = read_tolerances(fields.find("reduced_tolerances"),
                                     fields.place("reduced_tolerances"), reduced_tolerances());
    text("backend", "");
    text("precision", "");
    fields.finish();
    return golden;
}

std::string metadata(const SafetensorsFile& file, const std::string& key) {
    const auto entry = file.metadata.find(key);
    return entry == file.metadata.end() ? "" : entry->second;
}

Json metadata_json(const std::filesystem::path& path, const SafetensorsFile& file,
                   const std::string& key) {
    return parse_json(metadata(file, key), path.string() + ": " + key + " in its metadata");
}

std::map<std::string, AnyArray> arrays_of(const std::string& name, const SafetensorsFile& file) {
    const std::string prefix = name + "/";
    std::map<std::string, AnyArray> arrays;
    for (const auto& [full_name, array] : file.tensors) {
        if (full_name.rfind(prefix, 0) == 0) {
            arrays.emplace(full_name.substr(prefix.size()), array);
        }
    }
    return arrays;
}

// `owner` is the entry about the artifact in the file's metadata.
void check_owner(const std::filesystem::path& path, const Json& owner, const Artifact& artifact) {
    const std::string hash = sha256_file(artifact.root() / kManifestName);
    if (!owner.is_object() || !owner.contains("hash") || owner["hash"] != hash) {
        throw ArtifactError(path.string() + " was written for another artifact than " +
                            artifact.root().string() +
                            "; write one for this artifact with: sdrt conformance");
    }
}

}  // namespace

void GoldenArrays::refuse(const std::string& problem) const {
    throw ArtifactError(place_ + " " + problem + "; write the file again");
}

bool GoldenArrays::fits(const Shape& shape, const Shape& expected) {
    return std::equal(shape.begin(), shape.end(), expected.begin(), expected.end(),
                      [](std::int64_t size, std::int64_t expected_size) {
                          return expected_size == kAnySize ? size > 0 : size == expected_size;
                      });
}

std::vector<std::pair<GoldenCase, GoldenArrays>> read_golden(const std::filesystem::path& path,
                                                             const Artifact& artifact) {
    const SafetensorsFile file = read_safetensors(path);
    if (metadata(file, "format") != kFormat) {
        throw ArtifactError(path.string() +
                            " is no file of golden vectors; expected one written by: sdrt "
                            "conformance");
    }
    if (metadata(file, "version") != kVersion) {
        throw ArtifactError(path.string() + " has version " +
                            sdrt::quoted(metadata(file, "version")) + ", this sdrt reads version " +
                            kVersion + "; write it again with: sdrt conformance");
    }
    check_owner(path, metadata_json(path, file, "artifact"), artifact);
    std::vector<std::pair<GoldenCase, GoldenArrays>> cases;
    std::set<std::string> names;
    try {
        const Json records = metadata_json(path, file, "cases");
        for (GoldenCase& golden : as_list(records, "cases", read_case)) {
            names.insert(golden.name);
            GoldenArrays arrays(path.string() + ", case " + golden.name + ",",
                                arrays_of(golden.name, file));
            cases.emplace_back(std::move(golden), std::move(arrays));
        }
    } catch (const FieldProblem& problem) {
        throw ArtifactError(path.string() + ": " + problem.what() + "; write the file again");
    }
    if (cases.empty() || names.size() != cases.size()) {
        throw ArtifactError(path.string() +
                            " has no cases, or two of one name; write the file again");
    }
    return cases;
}

}  // namespace sdrt
