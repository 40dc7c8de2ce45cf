// How close an array must be to a golden one, and how close it is.
#pragma once

#include "arrays.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sdrt {

// The stages of a picture in order: "ids", "weights", "embeddings", ..., "picture".
const std::vector<std::string>& stage_names();

// A measure ("equal", "relative", "sqnr_db" or "psnr_db") and its limit, which is 0 for "equal".
struct Tolerance {
    std::string measure;
    double limit = 0;
};
using StageTolerances = std::map<std::string, Tolerance>;

// The default tolerances for networks in fp32. Engines add in different orders;
// everything else is plain arithmetic.
StageTolerances fp32_tolerances();
// The default tolerances for networks in bf16 or int8, which each engine rounds in other places.
StageTolerances reduced_tolerances();

// A golden array and the one to compare, as numbers.
struct ArrayPair {
    Shape golden_shape, actual_shape;
    Doubles golden, actual;

    template <class T>
    ArrayPair(const Array<T>& golden_array, const Array<T>& actual_array)
        : golden_shape(golden_array.shape),
          actual_shape(actual_array.shape),
          golden(golden_array.values.begin(), golden_array.values.end()),
          actual(actual_array.values.begin(), actual_array.values.end()) {}
};
using ArrayPairs = std::vector<ArrayPair>;

// How far an array is from the golden one, in the unit of the measure. For "equal" it
// is the number of different values.
struct Difference {
    std::string measure;
    double value = 0;
    double limit = 0;

    // Whether the difference is within the limit; NaN is not.
    bool is_within() const;
    // Whether this one is larger than another one of the same measure; NaN is the largest.
    bool is_larger_than(const Difference& other) const;
    // The difference for people: "61.2 dB SQNR".
    std::string text() const;
    std::string limit_text() const;
};

// The largest difference of several pairs.
Difference compare(const Tolerance& tolerance, const ArrayPairs& pairs);

}  // namespace sdrt
