#include "text/conditioning.hpp"

#include "errors.hpp"

#include <algorithm>

namespace sdrt {
namespace {

// Repeats a row for every image; an empty array stays empty.
Tensor repeated_row(const Tensor& row, std::size_t images) {
    if (row.size() == 0) {
        return row;
    }
    Tensor rows = row;
    for (std::size_t i = 1; i < images; ++i) {
        rows.values.insert(rows.values.end(), row.values.begin(), row.values.end());
    }
    rows.shape[0] = static_cast<std::int64_t>(images);
    return rows;
}

Tensor stacked_unless_empty(const Tensor& a, const Tensor& b) {
    return a.size() == 0 ? a : stacked(a, b);
}

}  // namespace

TextConditioning TextConditioning::repeated(std::size_t images) const {
    return {repeated_row(states, images), repeated_row(pooled, images),
            repeated_row(time_ids, images)};
}

TextConditioning TextConditioning::zeros() const {
    TextConditioning zeroed = *this;
    std::fill(zeroed.states.values.begin(), zeroed.states.values.end(), 0.0F);
    std::fill(zeroed.pooled.values.begin(), zeroed.pooled.values.end(), 0.0F);
    return zeroed;
}

TextConditioning stacked(const TextConditioning& a, const TextConditioning& b) {
    return {stacked(a.states, b.states), stacked_unless_empty(a.pooled, b.pooled),
            stacked_unless_empty(a.time_ids, b.time_ids)};
}

Tensor joined_tokens(const std::vector<Tensor>& chunks) {
    Tensor joined(Shape{1, 0, chunks.front().shape.at(2)});
    for (const Tensor& chunk : chunks) {
        joined.shape[1] += chunk.shape.at(1);
        joined.values.insert(joined.values.end(), chunk.values.begin(), chunk.values.end());
    }
    return joined;
}

Tensor joined_widths(const std::vector<Tensor>& encoders) {
    const std::int64_t tokens = encoders.front().shape.at(1);
    Tensor joined(Shape{1, tokens, 0});
    for (const Tensor& states : encoders) {
        if (states.shape.at(1) != tokens) {
            throw ArtifactError(
                "the text encoders see a prompt as different numbers of tokens; "
                "export the model again");
        }
        joined.shape[2] += states.shape.at(2);
    }
    joined.values.reserve(count(joined.shape));
    for (std::int64_t token = 0; token < tokens; ++token) {
        for (const Tensor& states : encoders) {
            const std::int64_t width = states.shape.at(2);
            const auto begin = states.values.begin() + token * width;
            joined.values.insert(joined.values.end(), begin, begin + width);
        }
    }
    return joined;
}

}  // namespace sdrt
