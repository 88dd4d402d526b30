/* A disk that keeps, when its power goes, only what was synced to it; and that fails at a call of one's choice.
 *
 * Preloaded into a process (LD_PRELOAD) whose files below DISK_ROOT are on that disk. What is synced is copied into DISK_KEPT:
 * the content of a file into f/ID, the names in a folder into d/ID, where ID is what tells an inode from any other that has had
 * its number. A name is safe once its folder was synced, a content once its file was, as POSIX has it.
 *
 * DISK_LIES: `f:PART OF PATHS` of files, or `d:` of folders, whose syncs are answered and not done. DISK_FAILS: "PART OF PATHS:CALL:COUNT:ERRNO": from the
 * CALL-th write or sync of such files on, so many of them fail. What it knows is paths; it must not know whose they are. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *root, *kept, *lies;
static char failing[256];
static long fail_from = -1, fail_count, fail_errno;
static atomic_long calls, numbered;

static int (*real_fsync)(int), (*real_fdatasync)(int);
static ssize_t (*real_write)(int, const void *, size_t), (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);

__attribute__((constructor)) static void begin(void) {
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    root = getenv("DISK_ROOT");
    kept = getenv("DISK_KEPT");
    lies = getenv("DISK_LIES");
    const char *fails = getenv("DISK_FAILS");
    if (fails && sscanf(fails, "%255[^:]:%ld:%ld:%ld", failing, &fail_from, &fail_count, &fail_errno) != 4) fail_from = -1;
}

/* The path of a file below the root; 0 for any other. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = root ? readlink(link, path, PATH_MAX - 1) : -1;
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, root, strlen(root)) == 0;
}

/* Whether this call is one of those that fail. */
static int fails(int fd) {
    char path[PATH_MAX];
    if (fail_from < 0 || !path_of(fd, path) || !strstr(path, failing)) return 0;
    long call = atomic_fetch_add(&calls, 1);
    if (call < fail_from || call >= fail_from + fail_count) return 0;
    errno = (int)fail_errno;
    return 1;
}

static int id_of(int fd, const char *name, char *id, size_t size, unsigned *mode) {
    struct statx found;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(fd, name, flags, STATX_INO | STATX_BTIME | STATX_TYPE, &found)) return -1;
    snprintf(id, size, "%llx-%llx-%x", (unsigned long long)found.stx_ino, (unsigned long long)found.stx_btime.tv_sec,
             found.stx_btime.tv_nsec);
    *mode = found.stx_mode;
    return 0;
}

static void keep_file(int fd, FILE *out) {
    char link[64], bytes[1 << 16];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = open(link, O_RDONLY | O_CLOEXEC);
    if (again < 0) return;
    ssize_t count;
    while ((count = read(again, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, (size_t)count, out);
    close(again);
}

static void keep_folder(int fd, FILE *out) {
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (!folder) return;
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        char id[96];
        unsigned mode;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (id_of(fd, entry->d_name, id, sizeof id, &mode) == 0)
            fprintf(out, "%s %c %s\n", id, S_ISDIR(mode) ? 'd' : 'f', entry->d_name);
    }
    closedir(folder);
}

/* Whether a sync is answered and not done. */
static int is_lie(const char *path, unsigned mode) {
    return lies && strlen(lies) > 2 && (*lies == 'd') == !!S_ISDIR(mode) && strstr(path, lies + 2);
}

/* Copies what was just synced. */
static void keep(int fd) {
    char path[PATH_MAX], id[96], made[PATH_MAX], to[PATH_MAX];
    unsigned mode;
    int error = errno;
    if (kept && path_of(fd, path) && id_of(fd, "", id, sizeof id, &mode) == 0 && !is_lie(path, mode)) {
        snprintf(made, sizeof made, "%s/new-%d-%ld", kept, getpid(), atomic_fetch_add(&numbered, 1));
        snprintf(to, sizeof to, "%s/%c/%s", kept, S_ISDIR(mode) ? 'd' : 'f', id);
        FILE *out = fopen(made, "we");
        if (out) {
            if (S_ISDIR(mode)) keep_folder(fd, out);
            else keep_file(fd, out);
            fclose(out);
            rename(made, to);
        }
    }
    errno = error;
}

static int synced(int fd, int (*sync)(int)) {
    if (fails(fd)) return -1;
    int result = sync(fd);
    if (result == 0) keep(fd);
    return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

ssize_t write(int fd, const void *bytes, size_t count) { return fails(fd) ? -1 : real_write(fd, bytes, count); }

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return fails(fd) ? -1 : real_pwrite(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fails(fd) ? -1 : real_pwrite(fd, bytes, count, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return fails(fd) ? -1 : real_writev(fd, parts, count); }
