// The compression function of SHA-256, with the processor's SHA instructions if it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sdrt {

// Adds `count` blocks of 64 bytes to the state.
void compress_blocks(std::array<std::uint32_t, 8>& state, const std::uint8_t* blocks,
                     std::size_t count);

// The same without the SHA instructions.
void compress_blocks_portably(std::array<std::uint32_t, 8>& state, const std::uint8_t* blocks,
                              std::size_t count);

}  // namespace sdrt
