// The properties of this machine that engines depend on.
#pragma once

#include <cstdint>
#include <string>

namespace sdrt {

// Whether this processor sums products of 8-bit numbers in 32 bits; other processors saturate. True
// also if Linux does not list the instruction sets.
bool has_int8();

// The widest instruction set of this processor that kernels of a precision use, or "unknown".
std::string widest_instruction_set(const std::string& precision);

// The peak resident set of this process, in bytes.
std::int64_t peak_memory_bytes();

}  // namespace sdrt
