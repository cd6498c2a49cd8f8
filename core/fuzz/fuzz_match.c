/* fuzz_match.c - libFuzzer target: any two images, compared. What comes out lies inside both, ascends and is apart. Built and
 * run by core/fuzz/run.sh match. */
#include <stdlib.h>

#include "match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t end = 0;
    uint32_t cut = size > 1 ? (uint32_t)(data[0] * (size - 1) / 255) : 0;   /* where the old image ends */
    uint32_t room = (uint32_t)size / 8 + 16;
    int64_t n;
    if (size < 2 || size > 70000)
        return 0;
    struct nrt_likeness task = {data + 1, data + 1 + cut, cut, (uint32_t)size - 1u - cut, NULL, room};
    task.out = malloc(room * 3u * sizeof *task.out);
    if (task.out == NULL)
        abort();
    n = nrt_match(&task);
    if (n < 0)
        abort();
    for (int64_t i = 0; i < n; i++) {
        const uint32_t *s = task.out + 3 * i;
        if (s[0] < end || s[2] == 0 || s[2] > task.new_size - s[0] || s[1] > task.old_size || s[2] > task.old_size - s[1])
            abort();
        end = s[0] + s[2];
    }
    free(task.out);
    return 0;
}
