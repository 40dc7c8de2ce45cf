// The core of SHA-256, with the processor's own instructions where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sdrt {

// Takes `count` blocks of 64 bytes into the state.
void compress_blocks(std::array<std::uint32_t, 8>& state, const std::uint8_t* blocks,
                     std::size_t count);

// The same without those instructions.
void compress_blocks_portably(std::array<std::uint32_t, 8>& state, const std::uint8_t* blocks,
                              std::size_t count);

}  // namespace sdrt
