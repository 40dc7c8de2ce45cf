// Arrays of numbers with a shape, and the little arithmetic that samplers need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sdrt {

using Shape = std::vector<std::int64_t>;

// How many values an array of this shape has.
std::size_t count(const Shape& shape);

// Values in rows, the last dimension fastest.
template <class T>
struct Array {
    Shape shape;
    std::vector<T> values;

    Array() = default;
    explicit Array(Shape of) : shape(std::move(of)), values(count(shape)) {}
    Array(Shape of, std::vector<T> filled) : shape(std::move(of)), values(std::move(filled)) {}

    std::size_t size() const { return values.size(); }
    T* data() { return values.data(); }
    const T* data() const { return values.data(); }
};

using Tensor = Array<float>;
using Ids = Array<std::int64_t>;

// Element by element, in float32: a scalar is rounded to float32 first, as numpy does with the
// numbers of Python. Arrays have the same shape.
Tensor operator+(Tensor a, const Tensor& b);
Tensor operator-(Tensor a, const Tensor& b);
Tensor operator*(Tensor a, double scalar);
Tensor operator/(Tensor a, double scalar);
Tensor& operator-=(Tensor& a, const Tensor& b);

// One after the other along the first dimension; the other dimensions are the same.
Tensor stacked(const Tensor& a, const Tensor& b);

}  // namespace sdrt
