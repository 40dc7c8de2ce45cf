/* A picture from a model folder: picture MODEL [PROMPT] */
#include <sdrt.h>

#include <stdio.h>

int main(int argc, char **argv) {
    sdrt_pipeline *pipeline = NULL;
    sdrt_result *result = NULL;
    sdrt_options options;
    sdrt_error error;
    sdrt_code code;

    if (argc < 2) {
        fprintf(stderr, "usage: picture MODEL [PROMPT]\n");
        return SDRT_USAGE;
    }
    sdrt_options_init(&options);
    options.prompt = argc > 2 ? argv[2] : "a red boat on the sea at sunset";
    options.seed = 7;

    code = sdrt_load(argv[1], NULL, &pipeline, &error);
    if (code == SDRT_OK)
        code = sdrt_generate(pipeline, &options, NULL, NULL, &result, &error);
    if (code == SDRT_OK)
        code = sdrt_image_save(sdrt_result_image(result, 0), "picture.png", &error);
    if (code == SDRT_OK)
        printf("picture.png\n");
    else
        fprintf(stderr, "%s\n", error.message);

    sdrt_result_free(result);
    sdrt_pipeline_free(pipeline);
    return (int)code;
}
