#include "commands.hpp"
#include "text/prompt.hpp"
#include "text/tokenizer.hpp"

namespace sdrt::test {
namespace {

Json chunks_json(const Prompt& prompt) {
    Json chunks = Json::array();
    for (const auto& fragments : prompt.chunks) {
        Json chunk = Json::array();
        for (const Fragment& fragment : fragments) {
            chunk.push_back({fragment.text, fragment.weight});
        }
        chunks.push_back(std::move(chunk));
    }
    return chunks;
}

Json tokenize(const Json& command) {
    const Tokenizer tokenizer(command.at("folder").get<std::string>(), command.at("length"));
    Json results = Json::array();
    for (const Json& text : command.at("prompts")) {
        const Prompt prompt = parse_prompt(text.get<std::string>());
        const Tokens tokens = tokenizer.encode(prompt);
        results.push_back({{"chunks", chunks_json(prompt)},
                           {"warnings", prompt.warnings},
                           {"shape", tokens.ids.shape},
                           {"ids", tokens.ids.values},
                           {"weights", tokens.weights.values}});
    }
    return results;
}

Json weight_states(const Json& command) {
    const auto weights = command.at("weights").get<std::vector<float>>();
    return weighted(read_tensor(command.at("states")), weights.data()).values;
}

}  // namespace

Commands text_commands() { return {{"tokens", tokenize}, {"weighted", weight_states}}; }

}  // namespace sdrt::test
