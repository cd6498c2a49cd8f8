/* rewriter.c - one power-up of one terminal, by the core alone: goes on with an open plan, else rewrites the bank, else (it
 * holds the image already) confirms it. For processors and kernels where no Python runs; host code, for tests.
 *
 *   rewriter JOB FLASH [CUT KIND]
 *
 * JOB is struct nrt_layout, struct nrt_target, three little-endian words (RAM, bytes of the update file, 0), the update
 * file (tests/rigs/rewriter.py writes it). FLASH is a file or raw device. CUT: the process ends by SIGKILL in that flash
 * operation (0: the first). As process 1 it prepares a machine first: JOB and FLASH are fixed, /modules are loaded. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nor.h"

struct job {
    struct nrt_layout layout;
    struct nrt_target target;
    uint32_t ram;
    uint32_t size;
    uint32_t none;
};

static uint8_t *load(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    uint8_t *data = malloc((size_t)st.st_size + 1);
    ssize_t got = data == NULL ? -1 : read(fd, data, (size_t)st.st_size);
    (void)close(fd);
    *len = (size_t)(got < 0 ? 0 : got);
    return got == st.st_size ? data : NULL;
}

static int update(struct nrt_core *c, struct nrt_nor *n, const struct job *j, const uint8_t *file, int fate)
{
    struct nrt_ram ram = {malloc(j->ram), j->ram};
    if (ram.mem == NULL)
        return NRT_E_SPACE;
    int rc;
    if (fate == NRT_FATE_FETCH)
        rc = nrt_host_resume(c, n, file, j->size, ram);
    else if (memcmp(c->facts.installed.image, j->target.image, NRT_DIGEST) == 0)
        rc = c->facts.candidate ? nrt_host_confirm(c, n) : NRT_OK;
    else
        rc = nrt_host_rewrite(c, n, file, j->size, &j->target, ram);
    free(ram.mem);
    return rc;
}

static int one_life(const char *job, const char *flash, uint64_t cut, int kind)
{
    struct nrt_core c;
    size_t len = 0;
    int fate = 0;
    uint8_t *data = load(job, &len);
    struct job j;
    if (data == NULL || len < sizeof j)
        return puts("no job"), 2;
    memcpy(&j, data, sizeof j);
    struct nrt_nor *n = len - sizeof j < j.size ? NULL : nrt_nor_open(&j.layout, flash, 0, 0);
    if (n == NULL)
        return puts("no flash"), 2;
    if (kind != 0)
        nrt_nor_cut(n, cut, kind, 1, 1);
    int rc = nrt_host_power_up(&c, n, 0, &fate);
    printf("fate %d\n", fate);
    rc = rc < 0 ? rc : update(&c, n, &j, data + sizeof j, fate);
    uint8_t digest[NRT_DIGEST];
    if (rc == NRT_OK)
        rc = nrt_bank_digest(&c, j.target.image_size, digest);
    printf("result %d operations %llu\n", rc, (unsigned long long)nrt_nor_operations(n));
    if (rc == NRT_OK)
        puts(memcmp(digest, j.target.image, NRT_DIGEST) == 0 ? "bank new" : "bank other");
    nrt_nor_close(n);
    free(data);
    return rc == NRT_OK ? 0 : 1;
}

/* Loads the modules that a list names, one path a line, and waits for the device they bring. */
static void prepare(const char *flash)
{
    char line[256];
    (void)mkdir("/dev", 0755);
    (void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR);
    for (int i = 0; console >= 0 && i < 3; i++)
        (void)dup2(console, i);
    setvbuf(stdout, NULL, _IONBF, 0);
    FILE *list = fopen("/modules", "r");
    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        line[strcspn(line, "\n")] = 0;
        int fd = open(line, O_RDONLY);
        if (syscall(SYS_finit_module, fd, "", 0) < 0)
            perror(line);
        (void)close(fd);
    }
    for (int i = 0; i < 600 && access(flash, F_OK) < 0; i++)
        (void)usleep(100000);
}

int main(int argc, char **argv)
{
    if (getpid() == 1) {
        prepare("/dev/mtd0");
        puts("begin");
        (void)one_life("/job", "/dev/mtd0", 0, 0);
        puts("end");
        for (;;)
            (void)pause();
    }
    if (argc < 3)
        return fputs("rewriter JOB FLASH [CUT KIND]\n", stderr), 2;
    return one_life(argv[1], argv[2], argc > 4 ? strtoull(argv[3], NULL, 10) : 0, argc > 4 ? atoi(argv[4]) : 0);
}
