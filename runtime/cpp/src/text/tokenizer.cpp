#include "text/tokenizer.hpp"

#include "errors.hpp"
#include "files/json_fields.hpp"
#include "files/json_file.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/unicode.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxTokenizerBytes = 64'000'000;  // CLIP's file has 3.6 million
constexpr std::size_t kMaxAddedTokens = 100;             // CLIP has two
constexpr std::int64_t kMinLength = 3;                   // start, one token, end
// A mean that shrank by a larger factor has cancelled out, and restoring it would amplify rounding.
constexpr double kMaxMeanFactor = 100.0;

constexpr const char* kNormalizer = R"({"type": "Sequence", "normalizers": [{"type": "NFC"},
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]})";
constexpr const char* kSpecialsPattern = R"(<\|startoftext\|>|<\|endoftext\|>|)";
constexpr const char* kWords = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

[[noreturn]] void refuse(const std::string& part) {
    throw UnsupportedError("the tokenizer's " + part +
                           " is not CLIP's, and this host knows no other; use Python's sdrt");
}

// Checks the normalizer and the pre-tokenizer; returns whether the pattern of
// words includes the special tokens.
bool read_pre_tokenizer(const Json& tokenizer) {
    Fields fields(tokenizer, "");
    if (fields.get("normalizer") != parse_json(kNormalizer, "CLIP's normalizer")) {
        refuse("normalizer");
    }
    const Json& splitter = fields.get("pre_tokenizer");
    const Json parts = splitter.is_object() ? splitter.value("pretokenizers", Json()) : Json();
    if (parts.size() != 2 || !parts[0].is_object() || !parts[1].is_object()) {
        refuse("pre_tokenizer");
    }
    const Json pattern = parts[0].value("pattern", Json());
    const bool has_special_tokens =
        pattern == Json::object({{"Regex", std::string(kSpecialsPattern) + kWords}});
    const bool splits = parts[0].value("type", Json()) == "Split" &&
                        parts[0].value("behavior", Json()) == "Removed" &&
                        parts[0].value("invert", Json()) == true;
    const bool takes_bytes = parts[1].value("type", Json()) == "ByteLevel" &&
                             parts[1].value("add_prefix_space", Json()) == false &&
                             parts[1].value("use_regex", Json(true)) == true;
    const bool is_clip = has_special_tokens || pattern == Json::object({{"Regex", kWords}});
    if (!splits || !takes_bytes || !is_clip) {
        refuse("pre_tokenizer");
    }
    return has_special_tokens;
}

}  // namespace

Tokenizer::Tokenizer(const fs::path& folder, std::int64_t length) try
    : Tokenizer(read_json(folder / "tokenizer.json", kMaxTokenizerBytes),
                read_json(folder / "tokenizer_config.json", kMaxTokenizerBytes), length) {
} catch (const FieldProblem& problem) {
    throw ArtifactError((folder / "tokenizer.json").string() +
                        " cannot be read: " + problem.what() + "; export the model again");
}

Tokenizer::Tokenizer(const Json& tokenizer, const Json& config, std::int64_t length)
    : pairs_(Fields(tokenizer, "").get("model")),
      has_special_tokens_(read_pre_tokenizer(tokenizer)),
      length_(static_cast<std::size_t>(length)) {
    if (length < kMinLength) {
        throw ArtifactError("the tokenizer's chunks have " + std::to_string(length) +
                            " tokens, expected " + std::to_string(kMinLength) +
                            " or more; export the model again");
    }
    read_added_tokens(Fields(tokenizer, "").get("added_tokens"));
    start_ = special_token(config, "bos_token");
    end_ = special_token(config, "eos_token");
    padding_ = special_token(config, "pad_token");
}

void Tokenizer::read_added_tokens(const Json& tokens) {
    if (tokens.size() > kMaxAddedTokens) {
        refuse("list of added tokens");
    }
    added_tokens_ =
        as_list(tokens, "added_tokens", [&](const Json& token, const std::string& where) {
            Fields fields(token, where);
            for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
                if (as_flag(fields.get(flag), fields.place(flag))) {
                    refuse(std::string("way to find added tokens (") + flag + ")");
                }
            }
            const std::string content = fields.text("content");
            const std::int64_t id = pairs_.id(content);
            return AddedToken(content, id < 0 ? fields.whole("id", 0) : id);
        });
    std::stable_sort(
        added_tokens_.begin(), added_tokens_.end(),
        [](const AddedToken& a, const AddedToken& b) { return a.first.size() > b.first.size(); });
}

// In older files each special token is an object that contains its text.
std::int64_t Tokenizer::special_token(const Json& config, const std::string& kind) const {
    const Json* entry = Fields(config, "").find(kind);
    if (entry != nullptr && entry->is_object()) {
        entry = Fields(*entry, kind).find("content");
    }
    const std::string token =
        entry != nullptr && entry->is_string() ? entry->get<std::string>() : "";
    const auto added =
        std::find_if(added_tokens_.begin(), added_tokens_.end(),
                     [&](const AddedToken& candidate) { return candidate.first == token; });
    const std::int64_t id = added != added_tokens_.end() ? added->second : pairs_.id(token);
    if (id < 0) {
        throw ArtifactError("the tokenizer has no " + kind + " (" + sdrt::quoted(token) +
                            "); export the model again");
    }
    return id;
}

std::int64_t Tokenizer::vocabulary_size() const {
    const auto is_new = [&](const AddedToken& token) { return pairs_.id(token.first) < 0; };
    return static_cast<std::int64_t>(pairs_.size()) +
           std::count_if(added_tokens_.begin(), added_tokens_.end(), is_new);
}

Tokens Tokenizer::encode(const Prompt& prompt) const {
    const std::size_t room = length_ - 2;
    std::vector<std::int64_t> ids;
    std::vector<float> weights;
    for (const auto& fragments : prompt.chunks) {
        std::vector<std::int64_t> pieces;
        std::vector<float> piece_weights;
        for (const Fragment& fragment : fragments) {
            encode(fragment.text, pieces);
            piece_weights.resize(pieces.size(), static_cast<float>(fragment.weight));
        }
        std::size_t begin = 0;
        do {
            const std::size_t end = std::min(begin + room, pieces.size());
            const std::size_t whole = ids.size() + length_;
            const auto at = [](auto& values, std::size_t i) {
                return values.begin() + static_cast<std::ptrdiff_t>(i);
            };
            ids.push_back(start_);
            ids.insert(ids.end(), at(pieces, begin), at(pieces, end));
            ids.push_back(end_);
            ids.resize(whole, padding_);
            weights.push_back(1);
            weights.insert(weights.end(), at(piece_weights, begin), at(piece_weights, end));
            weights.resize(whole, 1);
            begin = end;
        } while (begin < pieces.size());
    }
    const auto length = static_cast<std::int64_t>(length_);
    const Shape shape{static_cast<std::int64_t>(ids.size()) / length, length};
    return {Ids(shape, std::move(ids)), Tensor(shape, std::move(weights))};
}

void Tokenizer::encode(std::string_view text, std::vector<std::int64_t>& ids) const {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
        const AddedToken* token = added_token_at(text.substr(at));
        if (token == nullptr) {
            ++at;
            continue;
        }
        encode_words(text.substr(begin, at - begin), ids);
        ids.push_back(token->second);
        begin = at += token->first.size();
    }
    encode_words(text.substr(begin), ids);
}

void Tokenizer::encode_words(std::string_view text, std::vector<std::int64_t>& ids) const {
    const auto decoded = decode_utf8(text);
    if (!decoded) {
        throw UsageError("a prompt is no text in UTF-8; give it in that encoding");
    }
    const std::u32string normalized = normalize(*decoded);
    for (const std::u32string_view word : pre_tokenize(normalized, has_special_tokens_)) {
        pairs_.encode(encode_utf8(word), ids);
    }
}

const Tokenizer::AddedToken* Tokenizer::added_token_at(std::string_view text) const {
    const auto match =
        std::find_if(added_tokens_.begin(), added_tokens_.end(), [&](const AddedToken& token) {
            return !token.first.empty() && text.substr(0, token.first.size()) == token.first;
        });
    return match == added_tokens_.end() ? nullptr : &*match;
}

Tensor weighted(Tensor states, const float* weights) {
    const auto length = static_cast<std::size_t>(states.shape[1]);
    if (std::all_of(weights, weights + length, [](float weight) { return weight == 1; })) {
        return states;
    }
    // The sums stand for the means, whose ratio is the same.
    const auto sum = [&] {
        return std::accumulate(states.values.begin(), states.values.end(), 0.0);
    };
    const double before = sum();
    const std::size_t width = states.size() / length;
    for (std::size_t i = 0; i < states.size(); ++i) {
        states.values[i] *= weights[i / width];
    }
    const double after = sum();
    return std::abs(before) >= kMaxMeanFactor * std::abs(after) ? states
                                                                : states * (before / after);
}

}  // namespace sdrt
