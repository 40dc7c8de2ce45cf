// `sdrt-host info`: describes a model folder.
#include "commands.hpp"

#include "diagnostics/info.hpp"

#include <iostream>

namespace sdrt::host {

void info(const Words& words) {
    const Arguments arguments("sdrt-host info", "MODEL", {{{"--json"}, "", "Print a JSON record."}},
                              wants_help(words) ? Words{} : words);
    if (wants_help(words)) {
        std::cout << arguments.help();
        return;
    }
    const Artifact artifact = open_artifact(arguments.required());
    std::cout << (arguments.has("--json") ? info_json(artifact) : info_text(artifact)) << "\n";
}

}  // namespace sdrt::host
