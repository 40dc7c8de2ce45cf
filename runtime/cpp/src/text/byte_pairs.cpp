#include "text/byte_pairs.hpp"

#include "errors.hpp"
#include "files/json_fields.hpp"
#include "text/unicode.hpp"

#include <limits>
#include <queue>
#include <tuple>
#include <utility>

namespace sdrt {
namespace {

constexpr std::uint64_t kMaxId = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

// The characters that represent bytes: printable ones represent themselves, the
// others are numbered from U+0100.
std::array<std::string, 256> byte_characters() {
    std::array<std::string, 256> characters;
    char32_t hidden = 0x100;
    for (std::size_t byte = 0; byte < characters.size(); ++byte) {
        const bool is_printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        const char32_t character = is_printable ? static_cast<char32_t>(byte) : hidden++;
        characters[byte] = encode_utf8({&character, 1});
    }
    return characters;
}

std::uint64_t merge_key(std::int64_t left, std::int64_t right) {
    return static_cast<std::uint64_t>(left) << 32U | static_cast<std::uint64_t>(right);
}

bool is_set(const Json* flag) { return flag != nullptr && !flag->is_null() && *flag != false; }

std::string merge_place(std::size_t rank) { return "model.merges." + std::to_string(rank); }

// Newer files have the two tokens of a merge as a list, older ones as a text with a space between.
std::pair<std::string, std::string> merge_tokens(const Json& merge, std::size_t rank) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    if (space == std::string::npos) {
        throw FieldProblem(merge_place(rank), "expected two tokens");
    }
    return {text.substr(0, space), text.substr(space + 1)};
}

// A part of a word, in a linked list that shrinks as symbols are merged.
struct Symbol {
    std::int64_t id;
    std::size_t previous, next;  // kNone at the ends
    bool is_merged = false;      // into the previous symbol
};

// Two neighbours that can be merged. The lowest rank goes first, then the leftmost place.
struct Candidate {
    std::size_t rank, place;
    std::int64_t id;

    bool operator<(const Candidate& other) const {
        return std::tie(rank, place) > std::tie(other.rank, other.place);
    }
};

}  // namespace

BytePairs::BytePairs(const Json& model) {
    Fields fields(model, "model");
    const Json* suffix = fields.find("end_of_word_suffix");
    const Json* prefix = fields.find("continuing_subword_prefix");
    const bool has_prefix = prefix != nullptr && !prefix->is_null() && *prefix != "";
    if (fields.text("type") != "BPE" || has_prefix || is_set(fields.find("dropout")) ||
        is_set(fields.find("fuse_unk")) || is_set(fields.find("byte_fallback")) ||
        is_set(fields.find("ignore_merges"))) {
        throw UnsupportedError(
            "the tokenizer's model is not CLIP's byte-pair encoding, and this "
            "host knows no other; use Python's sdrt");
    }
    read_vocabulary(fields.get("vocab"));
    read_merges(fields.get("merges"));
    read_bytes(fields.find("unk_token"),
               suffix != nullptr && suffix->is_string() ? suffix->get<std::string>() : "");
}

// CLIP has 49,000 tokens and as many merges, so the place of a
// token is formatted only for an error.
void BytePairs::read_vocabulary(const Json& vocabulary) {
    if (!vocabulary.is_object()) {
        throw FieldProblem("model.vocab", "expected an object");
    }
    vocabulary_.reserve(vocabulary.size());
    for (const auto& [token, id] : vocabulary.get_ref<const Json::object_t&>()) {
        const bool is_whole = id.is_number_unsigned() && id.get<std::uint64_t>() <= kMaxId;
        vocabulary_.emplace(token, is_whole ? id.get<std::int64_t>()
                                            : as_whole(id, "model.vocab." + token, 0,
                                                       static_cast<std::int64_t>(kMaxId)));
    }
}

void BytePairs::read_merges(const Json& merges) {
    if (!merges.is_array()) {
        throw FieldProblem("model.merges", "expected a list");
    }
    merges_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
        const auto [left, right] = merge_tokens(merges[rank], rank);
        const std::int64_t left_id = id(left), right_id = id(right), whole_id = id(left + right);
        if (left_id < 0 || right_id < 0 || whole_id < 0) {
            throw FieldProblem(merge_place(rank),
                               sdrt::quoted(left) + " and " + sdrt::quoted(right) +
                                   " or both together are not in the vocabulary");
        }
        merges_.insert_or_assign(merge_key(left_id, right_id), Merge{rank, whole_id});
    }
}

void BytePairs::read_bytes(const Json* unknown, const std::string& suffix) {
    const std::int64_t unknown_id =
        unknown != nullptr && unknown->is_string() ? id(unknown->get<std::string>()) : -1;
    const auto characters = byte_characters();
    for (std::size_t byte = 0; byte < characters.size(); ++byte) {
        const std::int64_t inner = id(characters[byte]), last = id(characters[byte] + suffix);
        inner_[byte] = inner < 0 ? unknown_id : inner;
        last_[byte] = last < 0 ? unknown_id : last;
        if (inner_[byte] < 0 || last_[byte] < 0) {
            throw FieldProblem("model.vocab", "byte " + std::to_string(byte) + " has no token");
        }
    }
}

std::int64_t BytePairs::id(const std::string& token) const {
    const auto entry = vocabulary_.find(token);
    return entry == vocabulary_.end() ? -1 : entry->second;
}

const BytePairs::Merge* BytePairs::find(std::int64_t left, std::int64_t right) const {
    const auto entry = merges_.find(merge_key(left, right));
    return entry == merges_.end() ? nullptr : &entry->second;
}

void BytePairs::encode(std::string_view word, std::vector<std::int64_t>& ids) const {
    std::vector<Symbol> symbols;
    for (std::size_t i = 0; i < word.size(); ++i) {
        const bool is_last = i + 1 == word.size();
        const auto byte = static_cast<unsigned char>(word[i]);
        symbols.push_back(
            {(is_last ? last_ : inner_)[byte], i == 0 ? kNone : i - 1, is_last ? kNone : i + 1});
    }
    std::priority_queue<Candidate> waiting;
    const auto consider = [&](std::size_t place) {
        if (place == kNone || symbols[place].next == kNone) {
            return;
        }
        if (const Merge* merge = find(symbols[place].id, symbols[symbols[place].next].id)) {
            waiting.push({merge->rank, place, merge->id});
        }
    };
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        consider(i);
    }
    while (!waiting.empty()) {
        const Candidate best = waiting.top();
        waiting.pop();
        Symbol& left = symbols[best.place];
        if (left.is_merged || left.next == kNone) {
            continue;
        }
        Symbol& right = symbols[left.next];
        const Merge* merge = find(left.id, right.id);
        if (merge == nullptr || merge->id != best.id) {
            continue;  // one of the symbols has changed since
        }
        left.id = merge->id;
        left.next = right.next;
        right.is_merged = true;
        if (left.next != kNone) {
            symbols[left.next].previous = best.place;
        }
        consider(left.previous);
        consider(best.place);
    }
    for (const Symbol& symbol : symbols) {
        if (!symbol.is_merged) {
            ids.push_back(symbol.id);
        }
    }
}

}  // namespace sdrt
