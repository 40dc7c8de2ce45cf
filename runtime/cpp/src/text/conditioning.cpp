#include "text/conditioning.hpp"

#include "errors.hpp"

#include <algorithm>

namespace sdrt {
namespace {

// The same row for every image; nothing stays nothing.
Tensor rows_of(const Tensor& one, std::size_t images) {
    if (one.size() == 0) {
        return one;
    }
    Tensor all = one;
    for (std::size_t i = 1; i < images; ++i) {
        all.values.insert(all.values.end(), one.values.begin(), one.values.end());
    }
    all.shape[0] = static_cast<std::int64_t>(images);
    return all;
}

Tensor both_rows(const Tensor& a, const Tensor& b) {
    return a.size() == 0 ? a : stacked(a, b);
}

}  // namespace

Text Text::repeated(std::size_t images) const {
    return {rows_of(states, images), rows_of(pooled, images), rows_of(picture, images)};
}

Text Text::zeros() const {
    Text made = *this;
    std::fill(made.states.values.begin(), made.states.values.end(), 0.0F);
    std::fill(made.pooled.values.begin(), made.pooled.values.end(), 0.0F);
    return made;
}

Text stacked(const Text& a, const Text& b) {
    return {stacked(a.states, b.states), both_rows(a.pooled, b.pooled),
            both_rows(a.picture, b.picture)};
}

Tensor joined_tokens(const std::vector<Tensor>& chunks) {
    Tensor all(Shape{1, 0, chunks.front().shape.at(2)});
    for (const Tensor& chunk : chunks) {
        all.shape[1] += chunk.shape.at(1);
        all.values.insert(all.values.end(), chunk.values.begin(), chunk.values.end());
    }
    return all;
}

Tensor joined_widths(const std::vector<Tensor>& encoders) {
    const std::int64_t tokens = encoders.front().shape.at(1);
    Tensor all(Shape{1, tokens, 0});
    for (const Tensor& one : encoders) {
        if (one.shape.at(1) != tokens) {
            throw ArtifactError("the text encoders see a prompt as different numbers of tokens; "
                                "export the model again");
        }
        all.shape[2] += one.shape.at(2);
    }
    all.values.reserve(count(all.shape));
    for (std::int64_t token = 0; token < tokens; ++token) {
        for (const Tensor& one : encoders) {
            const std::int64_t width = one.shape.at(2);
            const auto begin = one.values.begin() + token * width;
            all.values.insert(all.values.end(), begin, begin + width);
        }
    }
    return all;
}

Tensor Framing::row() const {
    Tensor numbers(Shape{1, 0});
    for (const PixelPair& pair : {original_size, crops_coords_top_left, target_size}) {
        for (const std::int64_t number : pair) {
            numbers.values.push_back(static_cast<float>(number));
        }
    }
    numbers.shape[1] = static_cast<std::int64_t>(numbers.size());
    return numbers;
}

}  // namespace sdrt
