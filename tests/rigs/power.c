/* power.c - runs a program and all it starts, counts their system calls that change a file system, and takes the power away
 * from every one of them ahead of number N: none of them does anything any more, that call included.
 *
 *   power N LOG PROGRAM [ARGUMENT...]     N 0: to the end. Each call is a line of LOG; exits with the program's code, 137: cut,
 *                                         98: not over in time, and says where they are, 99: they could not be watched
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 1024, CUT = 137, LATE = 98, LOST = 99, SECONDS = 300 };
/* Where a call says what it changes: a name, a name behind a directory, an open file (THIRD: its third argument). */
enum kind { NAME, AT, FILED, THIRD, OPEN, OPENAT };

struct call {
  long number;
  const char *name;
  enum kind kind;
};

static const struct call CALLS[] = {
#ifdef SYS_open
    {SYS_open, "open", OPEN},         {SYS_creat, "creat", NAME},     {SYS_rename, "rename", NAME},
    {SYS_link, "link", NAME},         {SYS_symlink, "symlink", NAME}, {SYS_unlink, "unlink", NAME},
    {SYS_mkdir, "mkdir", NAME},       {SYS_rmdir, "rmdir", NAME},     {SYS_chmod, "chmod", NAME},
    {SYS_chown, "chown", NAME},       {SYS_lchown, "lchown", NAME},   {SYS_utime, "utime", NAME},
    {SYS_utimes, "utimes", NAME},     {SYS_mknod, "mknod", NAME},     {SYS_futimesat, "futimesat", AT},
#endif
#ifdef SYS_renameat
    {SYS_renameat, "renameat", AT},
#endif
    {SYS_openat, "openat", OPENAT},   {SYS_renameat2, "renameat2", AT}, {SYS_linkat, "linkat", AT},
    {SYS_symlinkat, "symlinkat", NAME}, {SYS_unlinkat, "unlinkat", AT}, {SYS_mkdirat, "mkdirat", AT},
    {SYS_mknodat, "mknodat", AT},     {SYS_fchmodat, "fchmodat", AT}, {SYS_fchownat, "fchownat", AT},
    {SYS_utimensat, "utimensat", AT}, {SYS_truncate, "truncate", NAME}, {SYS_setxattr, "setxattr", NAME},
    {SYS_lsetxattr, "lsetxattr", NAME}, {SYS_removexattr, "removexattr", NAME},
    {SYS_write, "write", FILED},      {SYS_pwrite64, "pwrite", FILED}, {SYS_writev, "writev", FILED},
    {SYS_pwritev, "pwritev", FILED},  {SYS_pwritev2, "pwritev2", FILED}, {SYS_ftruncate, "ftruncate", FILED},
    {SYS_fallocate, "fallocate", FILED}, {SYS_fchmod, "fchmod", FILED}, {SYS_fchown, "fchown", FILED},
    {SYS_fsync, "fsync", FILED},      {SYS_fdatasync, "fdatasync", FILED}, {SYS_sync_file_range, "sync_file_range", FILED},
    {SYS_syncfs, "syncfs", FILED},    {SYS_fsetxattr, "fsetxattr", FILED}, {SYS_sendfile, "sendfile", FILED},
    {SYS_copy_file_range, "copy_file_range", THIRD}, {SYS_splice, "splice", THIRD},
};

static pid_t living[MOST];
static int count;

static void joins(pid_t pid) {
  for (int i = 0; i < count; i++)
    if (living[i] == pid) return;
  if (count == MOST) exit(LOST);
  living[count++] = pid;
}

static void leaves(pid_t pid) {
  for (int i = 0; i < count; i++)
    if (living[i] == pid) living[i] = living[--count];
}

static void text(pid_t pid, __uint64_t at, char out[PATH_MAX]) {
  struct iovec here = {out, PATH_MAX - 1}, there = {(void *)(size_t)at, PATH_MAX - 1};
  ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
  if (got < 0) { /* the page behind it is not there */
    here.iov_len = there.iov_len = 4096 - at % 4096;
    got = process_vm_readv(pid, &here, 1, &there, 1, 0);
  }
  out[got < 0 ? 0 : got] = 0;
}

/* Whether an open file lies in a file system that stays; its name. */
static int stays(pid_t pid, __uint64_t handle, char out[PATH_MAX]) {
  char link[64];
  struct stat about;
  snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, (int)handle);
  ssize_t length = readlink(link, out, PATH_MAX - 1);
  out[length < 0 ? 0 : length] = 0;
  if (stat(link, &about) != 0 || out[0] != '/') return 0;
  return S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode);
}

/* Whether this call, about to be made, changes a file system; what it is about. */
static const char *changes(pid_t pid, const struct __ptrace_syscall_info *info, char about[PATH_MAX]) {
  const __uint64_t *arguments = info->entry.args;
  if (info->entry.nr == SYS_ioctl && arguments[1] == FICLONE) return stays(pid, arguments[0], about) ? "ficlone" : NULL;
  for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
    const struct call *one = &CALLS[i];
    if ((long)info->entry.nr != one->number) continue;
    int behind = one->kind == AT || one->kind == OPENAT, opens = one->kind == OPEN || one->kind == OPENAT;
    if (one->kind == FILED || one->kind == THIRD)
      return stays(pid, arguments[one->kind == THIRD ? 2 : 0], about) ? one->name : NULL;
    text(pid, arguments[behind], about);
    if (opens && (arguments[behind + 1] & (O_CREAT | O_TRUNC)) == 0) return NULL;
    if (strncmp(about, "/dev/", 5) == 0 || strncmp(about, "/proc/", 6) == 0) return NULL;
    return one->name;
  }
  return NULL;
}

/* Whoever was just being born is not known yet: it is stopped where it begins, says so now, and would wait for ever. */
static void everybody_dies(void) {
  int status;
  pid_t pid;
  for (int i = 0; i < count; i++) kill(living[i], SIGKILL);
  while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR)
    if (pid > 0 && WIFSTOPPED(status)) kill(pid, SIGKILL);
}

static void late(int signal) {
  (void)signal;
  static const char *const told[] = {"comm", "wchan", "syscall", "cmdline"};
  for (int i = 0; i < count; i++)
    for (size_t j = 0; j < sizeof told / sizeof *told; j++) {
      char out[512];
      snprintf(out, sizeof out, "/proc/%d/%s", (int)living[i], told[j]);
      int file = open(out, O_RDONLY | O_CLOEXEC);
      ssize_t got = file < 0 ? 0 : read(file, out, sizeof out);
      for (ssize_t k = 0; k < got; k++)
        if (out[k] == 0 || out[k] == '\n') out[k] = ' ';
      if (got > 0) (void)!write(STDERR_FILENO, out, (size_t)got);
      if (file >= 0) close(file);
      (void)!write(STDERR_FILENO, j + 1 < sizeof told / sizeof *told ? "| " : "\n", j + 1 < sizeof told / sizeof *told ? 2 : 1);
    }
  _exit(LATE); /* and PTRACE_O_EXITKILL takes the others along */
}

int main(int argc, char **argv) {
  if (argc < 4) return LOST;
  long last = atol(argv[1]), number = 0;
  FILE *log = fopen(argv[2], "we");
  pid_t first = fork();
  if (first == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    execvp(argv[3], argv + 3);
    _exit(LOST);
  }
  int status, code = LOST;
  char about[PATH_MAX];
  signal(SIGALRM, late);
  alarm(getenv("POWER_SECONDS") ? (unsigned)atol(getenv("POWER_SECONDS")) : SECONDS);
  waitpid(first, &status, __WALL);
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                 PTRACE_O_EXITKILL;
  if (log == NULL || ptrace(PTRACE_SETOPTIONS, first, 0, options) != 0) return LOST;
  joins(first);
  ptrace(PTRACE_SYSCALL, first, 0, 0);
  while (count > 0) {
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      leaves(pid);
      if (pid == first) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    int stopped = WSTOPSIG(status), pass = 0;
    int known = 0;
    for (int i = 0; i < count; i++) known |= living[i] == pid;
    joins(pid);
    if (stopped == (SIGTRAP | 0x80)) {
      struct __ptrace_syscall_info info;
      ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
      const char *name = info.op == PTRACE_SYSCALL_INFO_ENTRY ? changes(pid, &info, about) : NULL;
      if (name != NULL) {
        fprintf(log, "%s %s\n", name, about);
        if (++number == last) {
          fclose(log);
          everybody_dies();
          return CUT;
        }
      }
    } else if (stopped != SIGTRAP && (known || stopped != SIGSTOP)) {
      pass = stopped; /* a signal of theirs; the first stop of a new one is ours */
    }
    ptrace(PTRACE_SYSCALL, pid, 0, pass);
  }
  fclose(log);
  return code;
}
