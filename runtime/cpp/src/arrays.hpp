// Arrays of numbers with a shape, and the arithmetic that samplers need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sdrt {

using Shape = std::vector<std::int64_t>;
using Doubles = std::vector<double>;

// The number of values of an array of this shape.
std::size_t count(const Shape& shape);

// Values in row-major order: the last dimension changes fastest.
template <class T>
struct Array {
    Shape shape;
    std::vector<T> values;

    Array() = default;
    explicit Array(Shape sizes) : shape(std::move(sizes)), values(count(shape)) {}
    Array(Shape sizes, std::vector<T> content)
        : shape(std::move(sizes)),
          values(std::move(content)) {}

    std::size_t size() const { return values.size(); }
    T* data() { return values.data(); }
    const T* data() const { return values.data(); }
};

using Tensor = Array<float>;
using Ids = Array<std::int64_t>;

// Element-wise arithmetic in float32 on arrays of the same shape. A scalar is rounded to float32
// first, as numpy does with Python's numbers.
Tensor operator+(Tensor a, const Tensor& b);
Tensor operator-(Tensor a, const Tensor& b);
Tensor operator*(Tensor a, double scalar);
Tensor operator/(Tensor a, double scalar);
Tensor& operator-=(Tensor& a, const Tensor& b);

// Concatenates along the first dimension; the other dimensions are equal.
Tensor stacked(const Tensor& a, const Tensor& b);

}  // namespace sdrt
