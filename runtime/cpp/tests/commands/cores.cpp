#include "cores.hpp"
#include "commands.hpp"

#include <set>
#include <string>

namespace sdrt::test {
namespace {

Json place(const Json& command) {
    const auto found = placement(command.at("root").get<std::string>(),
                                 command.at("allowed").get<std::set<int>>());
    return {
        {"threads", found.threads}, {"processors", found.processors}, {"is_part", found.is_part}};
}

}  // namespace

Commands cores_commands() { return {{"cores", place}}; }

}  // namespace sdrt::test
