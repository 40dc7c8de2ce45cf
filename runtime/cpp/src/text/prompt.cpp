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

constexpr double kBracketWeight = 1.1;
constexpr double kMaxWeight = 1000.0;  // far above any use, far below what overflows in a network
constexpr std::u32string_view kBrackets = U"()[]";
constexpr std::u32string_view kBreak = U"BREAK";

// The character classes of Python's regular expressions.
bool is_space(char32_t c) { return (c >= 0x1C && c <= 0x1F) || unicode::is_space(c); }
bool is_word(char32_t c) { return c == U'_' || unicode::is_letter(c) || unicode::is_number(c); }
bool is_bracket(char32_t c) { return kBrackets.find(c) != std::u32string_view::npos; }

double parse_number(const std::string& number) {
    double value = 0;
    const auto [_, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc::result_out_of_range) {
        return value;
    }
    // The number is too large unless there are only zeros before the point; then it is too small.
    const bool is_large = number.find_first_of("123456789") < number.find('.');
    const double large = std::numeric_limits<double>::infinity();
    return is_large ? std::copysign(large, number.front() == '-' ? -1 : 1) : 0;
}

// A part of a prompt that is not plain text.
struct Token {
    enum class Kind { literal, weight, chunk, bracket };

    Kind kind;
    std::size_t begin, end;
    double number = 0;  // the value of a weight
};

// Finds the tokens of a prompt in linear time.
class Scanner {
public:
    explicit Scanner(std::u32string_view text) : text_(text) {}

    // The next token at or after a position; nothing if only plain text is left.
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
        if (c == U'\\' && (is_bracket(character(at + 1)) || character(at + 1) == U'\\')) {
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
        std::size_t i = skip_spaces(at + 1);
        if (character(i) == U'-' || character(i) == U'+') {
            number += text_[i++] == U'-' ? "-" : "";
        }
        const std::size_t integer_digits = add_digits(i, number);
        std::size_t fraction_digits = 0;
        if (character(i) == U'.') {
            number += '.';
            fraction_digits = add_digits(++i, number);
        }
        i = skip_spaces(i);
        if (integer_digits + fraction_digits == 0 || character(i) != U')') {
            return std::nullopt;
        }
        return Token{Token::Kind::weight, at, i + 1, parse_number(number)};
    }

    // BREAK with all the spaces around it.
    std::optional<Token> chunk_at(std::size_t at) const {
        const bool begins_spaces = is_space(text_[at]) && (at == 0 || !is_space(text_[at - 1]));
        const std::size_t word = begins_spaces ? skip_spaces(at) : at;
        const std::size_t end = word + kBreak.size();
        const bool is_break = text_.substr(word, kBreak.size()) == kBreak &&
                              (word == 0 || !is_word(text_[word - 1])) && !is_word(character(end));
        return is_break ? std::optional(Token{Token::Kind::chunk, at, skip_spaces(end)})
                        : std::nullopt;
    }

    // The position of the next character that is no space.
    std::size_t skip_spaces(std::size_t at) const {
        while (at < text_.size() && is_space(text_[at])) {
            ++at;
        }
        return at;
    }

    // Appends digits of any script as ASCII, moves past them, and returns their number.
    std::size_t add_digits(std::size_t& at, std::string& number) const {
        const std::size_t begin = at;
        for (; at < text_.size() && unicode::digit(text_[at]) >= 0; ++at) {
            number += static_cast<char>('0' + unicode::digit(text_[at]));
        }
        return at - begin;
    }

    // The character at a position; 0 past the end.
    char32_t character(std::size_t at) const { return at < text_.size() ? text_[at] : U'\0'; }

    std::u32string_view text_;
};

// The text in the place of a weight if it contains a digit and is no number: "1.5x" in
// "(word:1.5x)". `text` is what precedes the closing bracket.
std::optional<std::u32string_view> malformed_weight(std::u32string_view text) {
    const std::size_t colon = text.rfind(U':');
    if (colon == std::u32string_view::npos) {
        return std::nullopt;
    }
    text.remove_prefix(colon + 1);
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    const auto is_digit = [](char32_t c) { return unicode::digit(c) >= 0; };
    const bool is_malformed = std::any_of(text.begin(), text.end(), is_digit) &&
                              std::none_of(text.begin(), text.end(), is_space);
    return is_malformed ? std::optional(text) : std::nullopt;
}

// A number in printf's %g format, in every locale.
std::string general_number(double value) {
    std::array<char, 32> text{};
    const auto end =
        std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
    return {text.data(), end.ptr};
}

// Builds a prompt from its tokens: the fragments in order, and the brackets around them.
class PromptBuilder {
public:
    // Adds the plain text before a token, then the token, whose own text is `text`.
    void add(std::u32string_view before, const Token& token, std::u32string_view text) {
        const char32_t bracket = token.kind == Token::Kind::bracket ? text.front() : U'\0';
        if (bracket == U')' && !round_.opened.empty()) {
            if (const auto malformed = malformed_weight(before)) {
                warn(sdrt::quoted(encode_utf8(*malformed)) + " is no weight and was read as text");
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
            close(round_, kBracketWeight);
        } else if (bracket == U']' && !square_.opened.empty()) {
            close(square_, 1 / kBracketWeight);
        } else {
            add(text);
        }
    }

    void add(std::u32string_view text) {
        if (!text.empty()) {
            fragments_.push_back({{encode_utf8(text)}, chunks_});
        }
    }

    // Applies the weights, and joins neighbouring fragments of equal weight.
    Prompt finish() {
        close_all(round_, "'('", kBracketWeight);
        close_all(square_, "'['", 1 / kBracketWeight);
        Prompt prompt{std::vector<std::vector<Fragment>>(chunks_ + 1), std::move(warnings_)};
        for (auto& [fragment, number] : fragments_) {
            auto& chunk = prompt.chunks[number];
            if (!chunk.empty() && chunk.back().weight == fragment.weight) {
                chunk.back().text += fragment.text;  // a text of one weight is tokenised as a whole
            } else {
                chunk.push_back(std::move(fragment));
            }
        }
        return prompt;
    }

private:
    struct PlacedFragment {
        Fragment fragment;
        std::size_t chunk;
    };
    struct Bracket {
        std::size_t first, end;  // the fragments inside
        double factor;
    };
    struct Brackets {  // round or square
        std::vector<std::size_t> opened;
        std::vector<Bracket> closed;  // inner before outer
    };

    void close(Brackets& brackets, double factor) {
        brackets.closed.push_back({brackets.opened.back(), fragments_.size(), factor});
        brackets.opened.pop_back();
    }

    void close_all(Brackets& brackets, const std::string& sign, double factor) {
        while (!brackets.opened.empty()) {
            warn(sign + " is never closed and weighs everything after it");
            close(brackets, factor);
        }
        apply(std::move(brackets.closed));
    }

    // Multiplies the fragments by the factors of nested brackets, in one pass: a stack holds the
    // ends of the brackets around the current fragment, and their product.
    void apply(std::vector<Bracket> brackets) {
        std::stable_sort(brackets.begin(), brackets.end(), [](const Bracket& a, const Bracket& b) {
            return a.first > b.first;  // outer brackets last
        });
        std::vector<std::pair<std::size_t, double>> enclosing{{fragments_.size(), 1.0}};
        for (std::size_t i = 0; i < fragments_.size(); ++i) {
            while (enclosing.back().first <= i) {
                enclosing.pop_back();
            }
            while (!brackets.empty() && brackets.back().first <= i) {
                const Bracket bracket = brackets.back();
                brackets.pop_back();
                if (bracket.end > i) {
                    const double product = enclosing.back().second * limited(bracket.factor);
                    enclosing.emplace_back(bracket.end, limited(product));
                }
            }
            double& weight = fragments_[i].fragment.weight;
            weight = limited(weight * enclosing.back().second);
        }
    }

    double limited(double weight) {
        if (std::abs(weight) <= kMaxWeight) {
            return weight;
        }
        warn("a weight of " + general_number(weight) + " is limited to " +
             general_number(kMaxWeight));
        return std::copysign(kMaxWeight, weight);
    }

    void warn(const std::string& warning) {
        if (std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end()) {
            warnings_.push_back(warning);
        }
    }

    std::vector<PlacedFragment> fragments_;
    std::size_t chunks_ = 0;  // after the first
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
    const std::u32string_view characters = *decoded;
    const Scanner scanner(characters);
    PromptBuilder builder;
    std::size_t done = 0;
    while (const auto token = scanner.find(done)) {
        builder.add(characters.substr(done, token->begin - done), *token,
                    characters.substr(token->begin, token->end - token->begin));
        done = token->end;
    }
    builder.add(characters.substr(done));
    return builder.finish();
}

}  // namespace sdrt
