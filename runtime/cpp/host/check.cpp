// `sdrt-host check`: does this host, on this machine, do what Python's sdrt did?
#include "commands.hpp"

#include "diagnostics/conformance/replay.hpp"
#include "errors.hpp"
#include "files/json_file.hpp"

#include <cmath>
#include <cstdio>
#include <iostream>

namespace sdrt::host {
namespace {

Json record_of(const Finding& finding) {
    Json record;
    record["case"] = finding.name;
    record["measure"] = finding.measure;
    record["found"] = std::isfinite(finding.found) ? Json(finding.found) : Json(nullptr);
    record["limit"] = finding.limit;
    record["is_within"] = finding.is_within();
    return record;
}

}  // namespace

void check(const Words& words) {
    std::vector<Option> options = engine_options();
    options.push_back({{"--json"}, "", "Print a JSON record."});
    const Arguments given("sdrt-host check", "GOLDEN", options,
                          asks_for_help(words) ? Words{} : words);
    if (asks_for_help(words)) {
        std::cout << given.help();
        return;
    }
    const std::string golden = given.required();
    LoadOptions load = load_options(given);
    load.engine.precision = given.text("--precision").value_or("fp32");
    load.keep = {"text_encoder", "text_encoder_2", "unet", "vae_decoder"};
    Pipeline pipeline(model_of(given), load);

    Json record;
    record["golden"] = golden;
    record["backend"] = pipeline.backend().name();
    record["first_failure"] = nullptr;
    record["stages"] = Json::object();
    record["cases"] = Json::array();
    const bool is_json = given.has("--json");
    std::vector<Finding> worst;  // of each stage
    const auto show = [&](const Finding& finding) {
        if (!finding.is_within() && record["first_failure"].is_null()) {
            record["first_failure"] = finding.stage;
        }
        Json one = {{"stage", finding.stage}};
        one.update(record_of(finding));
        record["cases"].push_back(std::move(one));
        if (worst.empty() || worst.back().stage != finding.stage) {
            worst.push_back(finding);
        } else if (is_worse(finding, worst.back())) {
            worst.back() = finding;
        }
    };
    std::exception_ptr failed;
    try {
        replay(pipeline, golden, show);
    } catch (const ParityError&) {
        failed = std::current_exception();
    }
    for (const Finding& one : worst) {
        record["stages"][one.stage] = record_of(one);
    }
    if (is_json) {
        std::cout << record.dump(1) << "\n";
    } else {
        std::printf("%s, on %s: the worst of each stage\n", golden.c_str(),
                    pipeline.backend().name().c_str());
        for (const Finding& one : worst) {
            std::printf("  %-10s  %-5s  %-24s  %s\n", one.stage.c_str(),
                        one.is_within() ? "ok" : "FAILS", one.text().c_str(), one.name.c_str());
        }
    }
    if (failed) {
        std::rethrow_exception(failed);
    }
}

}  // namespace sdrt::host
