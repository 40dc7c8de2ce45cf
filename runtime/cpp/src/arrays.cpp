#include "arrays.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace sdrt {
namespace {

template <class Operation>
void combine(Tensor& a, const Tensor& b, Operation operation) {
    std::transform(a.values.begin(), a.values.end(), b.values.begin(), a.values.begin(), operation);
}

template <class Operation>
void combine(Tensor& a, double scalar, Operation operation) {
    const auto rounded = static_cast<float>(scalar);
    for (float& value : a.values) {
        value = operation(value, rounded);
    }
}

}  // namespace

std::size_t count(const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::size_t{1},
                           [](std::size_t product, std::int64_t size) {
                               return product * static_cast<std::size_t>(size);
                           });
}

Tensor operator+(Tensor a, const Tensor& b) {
    combine(a, b, std::plus<>());
    return a;
}

Tensor operator-(Tensor a, const Tensor& b) {
    combine(a, b, std::minus<>());
    return a;
}

Tensor operator*(Tensor a, double scalar) {
    combine(a, scalar, std::multiplies<>());
    return a;
}

Tensor operator/(Tensor a, double scalar) {
    combine(a, scalar, std::divides<>());
    return a;
}

Tensor& operator-=(Tensor& a, const Tensor& b) {
    combine(a, b, std::minus<>());
    return a;
}

Tensor stacked(const Tensor& a, const Tensor& b) {
    Tensor both = a;
    both.shape.front() += b.shape.front();
    both.values.insert(both.values.end(), b.values.begin(), b.values.end());
    return both;
}

}  // namespace sdrt
