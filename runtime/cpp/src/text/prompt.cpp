#include "text/prompt.hpp"

#include "errors.hpp"
#include "text/unicode.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

namespace sdrt {
namespace {

constexpr double kStep = 1.1;
constexpr double kMaxWeight = 1000.0;  // far above any sense, far below what overflows in a network
constexpr std::u32string_view kBrackets = U"()[]";
constexpr std::u32string_view kBreak = U"BREAK";

// As Python's regular expressions see them.
bool is_space(char32_t c) { return (c >= 0x1C && c <= 0x1F) || unicode::is_space(c); }
bool is_word(char32_t c) { return c == U'_' || unicode::is_letter(c) || unicode::is_number(c); }
bool is_bracket(char32_t c) { return kBrackets.find(c) != std::u32string_view::npos; }

double value_of(const std::string& number) {
    double value = 0;
    const auto [_, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc::result_out_of_range) {
        return value;
    }
    // Too large, unless there are only zeros before the point.
    const bool is_large = number.find_first_of("123456789") < number.find('.');
    const double large = std::numeric_limits<double>::infinity();
    return is_large ? std::copysign(large, number.front() == '-' ? -1 : 1) : 0;
}

// What has a meaning in a prompt.
struct Token {
    enum class Kind { literal, weight, chunk, bracket };

    Kind kind;
    std::size_t begin, end;
    double number = 0;  // of a weight
};

// Finds what has a meaning, in time that grows with the text's length only.
class Scanner {
public:
    explicit Scanner(std::u32string_view text) : text_(text) {}

    // The next token from `at` on; nothing if only text is left.
    std::optional<Token> find(std::size_t at) const {
        for (; at < text_.size(); ++at) {
            if (const auto token = token_at(at)) {
                return token;
            }
        }
        return std::nullopt;
    }

private:
    std::optional<Token> token_at(std::size_t at) const {
        const char32_t c = text_[at];
        if (c == U'\\' && (is_bracket(at_or_nothing(at + 1)) || at_or_nothing(at + 1) == U'\\')) {
            return Token{Token::Kind::literal, at, at + 2};
        }
        if (c == U':') {
            return weight_at(at);
        }
        if (is_bracket(c)) {
            return Token{Token::Kind::bracket, at, at + 1};
        }
        return chunk_at(at);
    }

    // ":1.3)"
    std::optional<Token> weight_at(std::size_t at) const {
        std::string number;
        std::size_t i = behind_spaces(at + 1);
        if (at_or_nothing(i) == U'-' || at_or_nothing(i) == U'+') {
            number += text_[i++] == U'-' ? "-" : "";
        }
        const std::size_t whole = add_digits(i, number);
        std::size_t part = 0;
        if (at_or_nothing(i) == U'.') {
            number += '.';
            part = add_digits(++i, number);
        }
        i = behind_spaces(i);
        if (whole + part == 0 || at_or_nothing(i) != U')') {
            return std::nullopt;
        }
        return Token{Token::Kind::weight, at, i + 1, value_of(number)};
    }

    // BREAK, with all the spaces around it.
    std::optional<Token> chunk_at(std::size_t at) const {
        const bool begins_spaces = is_space(text_[at]) && (at == 0 || !is_space(text_[at - 1]));
        const std::size_t word = begins_spaces ? behind_spaces(at) : at;
        const std::size_t end = word + kBreak.size();
        const bool is_break = text_.substr(word, kBreak.size()) == kBreak &&
                              (word == 0 || !is_word(text_[word - 1])) &&
                              !is_word(at_or_nothing(end));
        return is_break ? std::optional(Token{Token::Kind::chunk, at, behind_spaces(end)})
                        : std::nullopt;
    }

    std::size_t behind_spaces(std::size_t at) const {
        while (at < text_.size() && is_space(text_[at])) {
            ++at;
        }
        return at;
    }

    // Appends digits of any script, moves behind them, and tells how many there were.
    std::size_t add_digits(std::size_t& at, std::string& number) const {
        const std::size_t begin = at;
        for (; at < text_.size() && unicode::digit(text_[at]) >= 0; ++at) {
            number += static_cast<char>('0' + unicode::digit(text_[at]));
        }
        return at - begin;
    }

    char32_t at_or_nothing(std::size_t at) const { return at < text_.size() ? text_[at] : U'\0'; }

    std::u32string_view text_;
};

// What stands where a weight might, has a digit in it and is no number: "1.5x" of "(word:1.5x)".
std::optional<std::u32string_view> bad_weight(std::u32string_view before) {
    const std::size_t colon = before.rfind(U':');
    if (colon == std::u32string_view::npos) {
        return std::nullopt;
    }
    before.remove_prefix(colon + 1);
    while (!before.empty() && is_space(before.front())) {
        before.remove_prefix(1);
    }
    while (!before.empty() && is_space(before.back())) {
        before.remove_suffix(1);
    }
    const auto is_digit = [](char32_t c) { return unicode::digit(c) >= 0; };
    const bool is_bad = std::any_of(before.begin(), before.end(), is_digit) &&
                        std::none_of(before.begin(), before.end(), is_space);
    return is_bad ? std::optional(before) : std::nullopt;
}

// A number as printf's %g has it, in every locale.
std::string general(double value) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                   std::chars_format::general, 6);
    return {text.data(), end.ptr};
}

// What was read of a prompt so far: its fragments in a row, and brackets around them.
class Reader {
public:
    void read(std::u32string_view before, const Token& token, std::u32string_view text) {
        const char32_t bracket = token.kind == Token::Kind::bracket ? text.front() : U'\0';
        if (bracket == U')' && !round_.opened.empty()) {
            if (const auto bad = bad_weight(before)) {
                warn(sdrt::quoted(encode_utf8(*bad)) + " is no weight and was read as text");
            }
        }
        add(before);
        if (token.kind == Token::Kind::literal) {
            add(text.substr(1));
        } else if (token.kind == Token::Kind::chunk) {
            ++chunks_;
        } else if (token.kind == Token::Kind::weight && !round_.opened.empty()) {
            close(round_, token.number);
        } else if (bracket == U'(' || bracket == U'[') {
            (bracket == U'(' ? round_ : square_).opened.push_back(fragments_.size());
        } else if (bracket == U')' && !round_.opened.empty()) {
            close(round_, kStep);
        } else if (bracket == U']' && !square_.opened.empty()) {
            close(square_, 1 / kStep);
        } else {
            add(text);
        }
    }

    void add(std::u32string_view text) {
        if (!text.empty()) {
            fragments_.push_back({{encode_utf8(text)}, chunks_});
        }
    }

    // Weighs the fragments, and joins those of one weight.
    Prompt finish() {
        finish(round_, "'('", kStep);
        finish(square_, "'['", 1 / kStep);
        Prompt prompt{std::vector<std::vector<Fragment>>(chunks_ + 1), std::move(warnings_)};
        for (auto& [fragment, number] : fragments_) {
            auto& chunk = prompt.chunks[number];
            if (!chunk.empty() && chunk.back().weight == fragment.weight) {
                chunk.back().text += fragment.text;  // a text is tokenised whole where it can be
            } else {
                chunk.push_back(std::move(fragment));
            }
        }
        return prompt;
    }

private:
    struct Placed {
        Fragment fragment;
        std::size_t chunk;
    };
    struct Bracket {
        std::size_t first, behind;  // fragments
        double factor;
    };
    struct Brackets {  // of one kind
        std::vector<std::size_t> opened;
        std::vector<Bracket> closed;  // inner ones before outer ones
    };

    void close(Brackets& kind, double factor) {
        kind.closed.push_back({kind.opened.back(), fragments_.size(), factor});
        kind.opened.pop_back();
    }

    void finish(Brackets& kind, const std::string& sign, double factor) {
        while (!kind.opened.empty()) {
            warn(sign + " is never closed and weighs everything after it");
            close(kind, factor);
        }
        weigh(std::move(kind.closed));
    }

    // Multiplies by the factors of brackets of one kind, which nest. In one pass: a stack holds
    // where the brackets around a fragment end, and their product.
    void weigh(std::vector<Bracket> waiting) {
        std::stable_sort(waiting.begin(), waiting.end(), [](const Bracket& a, const Bracket& b) {
            return a.first > b.first;  // outer ones last
        });
        std::vector<std::pair<std::size_t, double>> around{{fragments_.size(), 1.0}};
        for (std::size_t i = 0; i < fragments_.size(); ++i) {
            while (around.back().first <= i) {
                around.pop_back();
            }
            while (!waiting.empty() && waiting.back().first <= i) {
                const Bracket bracket = waiting.back();
                waiting.pop_back();
                if (bracket.behind > i) {
                    const double product = around.back().second * limited(bracket.factor);
                    around.emplace_back(bracket.behind, limited(product));
                }
            }
            double& weight = fragments_[i].fragment.weight;
            weight = limited(weight * around.back().second);
        }
    }

    double limited(double weight) {
        if (std::abs(weight) <= kMaxWeight) {
            return weight;
        }
        warn("a weight of " + general(weight) + " is limited to " + general(kMaxWeight));
        return std::copysign(kMaxWeight, weight);
    }

    void warn(const std::string& warning) {
        if (std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end()) {
            warnings_.push_back(warning);
        }
    }

    std::vector<Placed> fragments_;
    std::size_t chunks_ = 0;  // behind the first
    std::vector<std::string> warnings_;
    Brackets round_, square_;
};

}  // namespace

Prompt parse_prompt(std::string_view text) {
    const auto decoded = decode_utf8(text);
    if (!decoded) {
        throw UsageError("the prompt " + sdrt::quoted(text.substr(0, 40)) +
                         " is no text in UTF-8; give it in that encoding");
    }
    const std::u32string_view whole = *decoded;
    const Scanner scanner(whole);
    Reader reader;
    std::size_t done = 0;
    while (const auto token = scanner.find(done)) {
        reader.read(whole.substr(done, token->begin - done), *token,
                    whole.substr(token->begin, token->end - token->begin));
        done = token->end;
    }
    reader.add(whole.substr(done));
    return reader.finish();
}

}  // namespace sdrt
