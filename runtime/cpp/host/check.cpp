// `sdrt-host check`: compares this host, on this machine, with Python's sdrt.
#include "commands.hpp"

#include "diagnostics/conformance/replay.hpp"
#include "errors.hpp"
#include "files/json_file.hpp"
#include "pipeline.hpp"

#include <cmath>
#include <cstdio>
#include <iostream>

namespace sdrt::host {
namespace {

Json record_of(const Finding& finding) {
    Json record;
    const Difference& difference = finding.difference;
    record["case"] = finding.case_name;
    record["measure"] = difference.measure;
    record["found"] = std::isfinite(difference.value) ? Json(difference.value) : Json(nullptr);
    record["limit"] = difference.limit;
    record["is_within"] = difference.is_within();
    return record;
}

}  // namespace

void check(const Words& words) {
    std::vector<Option> options = engine_options();
    options.push_back({{"--json"}, "", "Print a JSON record."});
    const Arguments arguments("sdrt-host check", "GOLDEN", options,
                              wants_help(words) ? Words{} : words);
    if (wants_help(words)) {
        std::cout << arguments.help();
        return;
    }
    const std::string golden = arguments.required();
    LoadOptions load = load_options(arguments);
    load.engine.precision = arguments.text("--precision").value_or("fp32");
    load.keep = {"text_encoder", "text_encoder_2", "unet", "vae_decoder"};
    Pipeline pipeline(model_path(arguments), load);

    Json record;
    record["golden"] = golden;
    record["backend"] = pipeline.backend().name();
    record["first_failure"] = nullptr;
    record["stages"] = Json::object();
    record["cases"] = Json::array();
    const bool is_json = arguments.has("--json");
    std::vector<Finding> worst;  // of each stage
    const auto show = [&](const Finding& finding) {
        if (!finding.difference.is_within() && record["first_failure"].is_null()) {
            record["first_failure"] = finding.stage;
        }
        Json entry = {{"stage", finding.stage}};
        entry.update(record_of(finding));
        record["cases"].push_back(std::move(entry));
        if (worst.empty() || worst.back().stage != finding.stage) {
            worst.push_back(finding);
        } else if (is_worse(finding, worst.back())) {
            worst.back() = finding;
        }
    };
    std::exception_ptr failure;
    try {
        replay(pipeline, golden, show);
    } catch (const ParityError&) {
        failure = std::current_exception();
    }
    for (const Finding& finding : worst) {
        record["stages"][finding.stage] = record_of(finding);
    }
    if (is_json) {
        std::cout << record.dump(1) << "\n";
    } else {
        std::printf("%s, on %s: the worst of each stage\n", golden.c_str(),
                    pipeline.backend().name().c_str());
        for (const auto& [case_name, stage, difference] : worst) {
            std::printf("  %-10s  %-5s  %-24s  %s\n", stage.c_str(),
                        difference.is_within() ? "ok" : "FAILS", difference.text().c_str(),
                        case_name.c_str());
        }
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

}  // namespace sdrt::host
