// The errors that sdrt throws on purpose, each with the program's exit code; the same tree as in
// Python's errors.py. A message says what was found, what was expected and what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace sdrt {

// Base of all errors that sdrt throws on purpose.
class Error : public std::runtime_error {
public:
    // The exit code of the program.
    int code() const noexcept { return code_; }
    // The name of Python's class: "UsageError".
    const char* type() const noexcept { return type_; }

protected:
    Error(int code, const char* type, const std::string& message)
        : std::runtime_error(message),
          code_(code),
          type_(type) {}

private:
    int code_;
    const char* type_;
};

// An argument is wrong; the message names it and what is allowed.
class UsageError : public Error {
public:
    explicit UsageError(const std::string& message) : Error(2, "UsageError", message) {}
};

// A model folder cannot be used: missing, of another kind, corrupt or incomplete.
class ArtifactError : public Error {
public:
    explicit ArtifactError(const std::string& message) : Error(3, "ArtifactError", message) {}
};

// A stage differs from the golden file by more than its precision explains.
class ParityError : public Error {
public:
    explicit ParityError(const std::string& message) : Error(4, "ParityError", message) {}
};

// A file could not be written: no space, or no permission.
class WriteError : public Error {
public:
    explicit WriteError(const std::string& message) : Error(5, "WriteError", message) {}
};

// A network gave NaN or infinity; the message names network, step and precision.
class NonFiniteError : public Error {
public:
    explicit NonFiniteError(const std::string& message) : Error(6, "NonFiniteError", message) {}
};

// An engine could not allocate what it needs.
class OutOfMemoryError : public Error {
public:
    explicit OutOfMemoryError(const std::string& message) : Error(7, "OutOfMemoryError", message) {}
};

// An architecture, precision or device that sdrt, this build or this machine does not support.
class UnsupportedError : public Error {
public:
    explicit UnsupportedError(const std::string& message) : Error(9, "UnsupportedError", message) {}
};

// A run was cancelled.
class CancelledError : public Error {
public:
    explicit CancelledError(const std::string& message) : Error(10, "CancelledError", message) {}
};

// Quotes a text for a message as Python's repr does, with control characters escaped. Call it as
// sdrt::quoted, because for a std::string the unqualified name finds std::quoted.
std::string quoted(std::string_view text);

}  // namespace sdrt
