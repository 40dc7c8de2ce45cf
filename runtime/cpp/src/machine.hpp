// What this machine is, as far as engines have to know.
#pragma once

#include <cstdint>
#include <string>

namespace sdrt {

// Physical cores that this process may use: affinity, hyper-threads and container quota.
int usable_cores();

// Whether this processor sums products of 8-bit numbers in 32 bits; others lose the overflow. True
// also where Linux does not tell.
bool has_int8();

// The instruction set that good kernels of a precision use on this processor, or "unknown".
std::string widest_instruction_set(const std::string& precision);

// Largest resident set of this process so far, in bytes.
std::int64_t peak_memory_bytes();

}  // namespace sdrt
