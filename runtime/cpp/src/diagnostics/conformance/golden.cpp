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

using Limits = std::map<std::string, Tolerance>;

// Of networks in fp32: two engines sum in other orders; everything else is arithmetic.
Limits exact_limits() {
    return {{"ids", {"equal", 0}},         {"weights", {"relative", 1e-6}},
            {"embeddings", {"sqnr_db", 60}}, {"noise", {"equal", 0}},
            {"sigmas", {"relative", 1e-6}},  {"unet", {"sqnr_db", 60}},
            {"denoised", {"sqnr_db", 80}},   {"latents", {"sqnr_db", 80}},
            {"pixels", {"psnr_db", 50}},     {"picture", {"psnr_db", 50}}};
}

// Of networks in bf16 or int8, which round at places of each engine's own.
Limits reduced_limits() {
    Limits limits = exact_limits();
    limits["embeddings"].limit = 20;
    limits["unet"].limit = 20;
    limits["pixels"].limit = 35;
    limits["picture"].limit = 20;
    return limits;
}

Tolerance read_tolerance(const Json& value, const std::string& where) {
    Fields fields(value, where);
    std::vector<Tolerance> found;
    for (const char* measure : {"relative", "sqnr_db", "psnr_db"}) {
        if (const Json* limit = fields.find(measure); limit != nullptr && !limit->is_null()) {
            found.push_back({measure, as_number(*limit, fields.place(measure))});
            if (found.back().limit <= 0) {
                throw FieldProblem(fields.place(measure), "expected a number above 0");
            }
        }
    }
    if (const Json* equal = fields.find("equal"); equal != nullptr && !equal->is_null()) {
        if (!as_flag(*equal, fields.place("equal"))) {
            throw FieldProblem(fields.place("equal"), "expected true");
        }
        found.push_back({"equal", 0});
    }
    fields.finish();
    if (found.size() != 1) {
        throw FieldProblem(where, "expected one of equal, relative, sqnr_db and psnr_db");
    }
    return found.front();
}

Limits read_limits(const Json* value, const std::string& where, Limits limits) {
    if (value == nullptr) {
        return limits;
    }
    for (auto& [stage, tolerance] : as_named(*value, where, read_tolerance)) {
        if (limits.count(stage) == 0) {
            throw FieldProblem(where, "there is no stage '" + stage + "'");
        }
        limits[stage] = tolerance;
    }
    return limits;
}

Case read_case(const Json& value, const std::string& where) {
    Fields fields(value, where);
    const auto text = [&](const char* name, const std::string& otherwise) {
        const Json* found = fields.find(name);
        return found == nullptr ? otherwise : as_string(*found, fields.place(name));
    };
    Case made;
    made.name = fields.text("name");
    if (made.name.empty() || made.name.find('/') != std::string::npos) {
        throw FieldProblem(fields.place("name"), "expected a name without a slash");
    }
    made.options.prompt = fields.text("prompt");
    made.options.negative_prompt = text("negative_prompt", "");
    made.options.seed = as_whole(fields.get("seed"), fields.place("seed"));
    made.options.width = as_whole(fields.get("width"), fields.place("width"));
    made.options.height = as_whole(fields.get("height"), fields.place("height"));
    made.options.num_inference_steps = as_whole(fields.get("steps"), fields.place("steps"));
    made.options.sampler = fields.text("sampler");
    made.options.scheduler = text("scheduler", "default");
    made.options.guidance_scale = fields.number("guidance_scale");
    if (const Json* options = fields.find("sampler_options")) {
        made.sampler_options = as_named(*options, fields.place("sampler_options"), as_option);
    }
    made.unet_steps = as_list(fields.get("unet_steps"), fields.place("unet_steps"),
                              [](const Json& one, const std::string& place) {
                                  return as_whole(one, place, 0);
                              });
    made.tolerances = read_limits(fields.find("tolerances"), fields.place("tolerances"),
                                  exact_limits());
    made.reduced_tolerances = read_limits(fields.find("reduced_tolerances"),
                                          fields.place("reduced_tolerances"), reduced_limits());
    text("backend", "");
    text("precision", "");
    fields.finish();
    return made;
}

std::string metadata(const SafetensorsFile& file, const std::string& key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? "" : found->second;
}

Json metadata_json(const std::filesystem::path& path, const SafetensorsFile& file,
                   const std::string& key) {
    return parse_json(metadata(file, key), path.string() + ": " + key + " in its metadata");
}

std::map<std::string, AnyArray> arrays_of(const std::string& name, const SafetensorsFile& file) {
    const std::string start = name + "/";
    std::map<std::string, AnyArray> own;
    for (const auto& [full, array] : file.tensors) {
        if (full.rfind(start, 0) == 0) {
            own.emplace(full.substr(start.size()), array);
        }
    }
    return own;
}

void check_owner(const std::filesystem::path& path, const Json& owner, const Artifact& artifact) {
    const std::string own = sha256_file(artifact.root() / kManifestName);
    if (!owner.is_object() || !owner.contains("hash") || owner["hash"] != own) {
        throw ArtifactError(path.string() + " was written for another artifact than " +
                            artifact.root().string() +
                            "; write one for this artifact with: sdrt conformance");
    }
}

}  // namespace

const std::vector<std::string>& stages() {
    static const std::vector<std::string> all = {"ids",  "weights",  "embeddings", "noise",
                                                 "sigmas", "unet",   "denoised",   "latents",
                                                 "pixels", "picture"};
    return all;
}

void Arrays::refuse(const std::string& finding) const {
    throw ArtifactError(where_ + " " + finding + "; write the file again");
}

bool Arrays::fits(const Shape& found, const Shape& wanted) {
    return std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(),
                      [](std::int64_t size, std::int64_t want) {
                          return want == kAny ? size > 0 : size == want;
                      });
}

std::vector<std::pair<Case, Arrays>> read_golden(const std::filesystem::path& path,
                                                 const Artifact& artifact) {
    const SafetensorsFile file = read_safetensors(path);
    if (metadata(file, "format") != kFormat) {
        throw ArtifactError(path.string() + " is no file of golden vectors; expected one written "
                                            "by: sdrt conformance");
    }
    if (metadata(file, "version") != kVersion) {
        throw ArtifactError(path.string() + " has version " +
                            sdrt::quoted(metadata(file, "version")) + ", this sdrt reads version " +
                            kVersion + "; write it again with: sdrt conformance");
    }
    check_owner(path, metadata_json(path, file, "artifact"), artifact);
    std::vector<std::pair<Case, Arrays>> cases;
    std::set<std::string> names;
    try {
        const Json records = metadata_json(path, file, "cases");
        for (Case& one : as_list(records, "cases", read_case)) {
            names.insert(one.name);
            Arrays arrays(path.string() + ", case " + one.name + ",", arrays_of(one.name, file));
            cases.emplace_back(std::move(one), std::move(arrays));
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
