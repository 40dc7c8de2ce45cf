#include "commands.hpp"
#include "files/sha256.hpp"
#include "files/sha256_blocks.hpp"

#include <array>
#include <cstdint>

namespace sdrt::test {
namespace {

Json hash(const Json& command) { return sha256(command.at("text").get<std::string>()); }

// The state after whole blocks, with and without the processor's SHA instructions.
Json hash_blocks(const Json& command) {
    const auto bytes = command.at("bytes").get<std::vector<std::uint8_t>>();
    auto fast = command.at("state").get<std::array<std::uint32_t, 8>>();
    auto portable = fast;
    compress_blocks(fast, bytes.data(), bytes.size() / 64);
    compress_blocks_portably(portable, bytes.data(), bytes.size() / 64);
    return {fast, portable};
}

}  // namespace

Commands files_commands() { return {{"sha256", hash}, {"blocks", hash_blocks}}; }

}  // namespace sdrt::test
