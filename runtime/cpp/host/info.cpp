// `sdrt-host info`: what a model folder holds.
#include "commands.hpp"

#include "diagnostics/info.hpp"

#include <iostream>

namespace sdrt::host {

void info(const Words& words) {
    const Arguments given("sdrt-host info", "MODEL", {{{"--json"}, "", "Print a JSON record."}},
                          asks_for_help(words) ? Words{} : words);
    if (asks_for_help(words)) {
        std::cout << given.help();
        return;
    }
    const Artifact artifact = open_artifact(given.required());
    std::cout << (given.has("--json") ? describe(artifact) : summary(artifact)) << "\n";
}

}  // namespace sdrt::host
