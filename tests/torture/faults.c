/* A disk that fails, and a process that dies, at a call that the test names.
 *
 * Preloaded into a process and its children, it counts the calls that change files below a folder, notes them, and at
 * one of them fails or kills. It also runs the clock backwards. All is said in a file that every process maps. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t count;     /* calls so far, of the kinds that count */
    int64_t first;     /* the calls that fail, or the one that kills; none if 0 */
    int64_t last;
    int64_t action;    /* an errno; KILL_ALL, the group of processes; KILL_MAIN, the one that leads the session */
    int64_t clock;     /* seconds that the clock goes back at every look */
    int64_t looks;
    char kinds[64];
    char root[PATH_MAX];
    char log[PATH_MAX];
};
enum { KILL_ALL = -1, KILL_MAIN = -2 };

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) control = map;
    close(file);
}

static int is_below(const char *path) {
    size_t length = strlen(control->root);
    return length && !strncmp(path, control->root, length) && (path[length] == '/' || !path[length]);
}

static const char *name_of(int file, char *name) {
    char link[64] = "/proc/self/fd/", digits[16];
    int at = 15, end = 14;
    digits[at] = 0;
    for (unsigned rest = (unsigned)file; at == 15 || rest; rest /= 10) digits[--at] = (char)('0' + rest % 10);
    strcpy(link + end, digits + at);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, name, PATH_MAX - 1);
    name[length > 0 ? length : 0] = 0;
    return name;
}

/* Counts a call; 1 if it is to fail, with errno set. */
static int fails(char kind, const char *path) {
    if (!is_below(path) || !strchr(control->kinds, kind)) return 0;
    int64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    char line[PATH_MAX + 8] = {kind, ' '};
    size_t length = strlen(path);
    memcpy(line + 2, path, length);
    line[length + 2] = '\n';
    int log = (int)syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    syscall(SYS_write, log, line, length + 3);
    syscall(SYS_close, log);
    if (!control->first || number < control->first || number > control->last) return 0;
    if (control->action == KILL_ALL) kill(0, SIGKILL);
    else if (control->action == KILL_MAIN) kill(getsid(0), SIGKILL);
    else { errno = (int)control->action; return 1; }
    return 0;
}

static int fails_at(char kind, int folder, const char *path) {
    char name[2 * PATH_MAX];
    if (!control || !path) return 0;
    if (*path == '/' || folder == AT_FDCWD) return fails(kind, path);
    name_of(folder, name);
    strcat(name, "/");
    strncat(name, path, PATH_MAX - 1);
    return fails(kind, name);
}

static int fails_on(char kind, int file) {
    char name[PATH_MAX];
    return control && *control->root && fails(kind, name_of(file, name));
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define GUARD(test) if (test) return -1

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        GUARD(flags & (O_WRONLY | O_RDWR | O_CREAT) && fails_at('o', AT_FDCWD, path)); \
        return NEXT(name)(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        GUARD(flags & (O_WRONLY | O_RDWR | O_CREAT) && fails_at('o', folder, path)); \
        return NEXT(name)(folder, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *data, size_t size) {
    GUARD(fails_on('w', file));
    return NEXT(write)(file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    GUARD(fails_on('w', file));
    return NEXT(writev)(file, parts, count);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    GUARD(fails_on('w', file));
    return NEXT(pwrite64)(file, data, size, at);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    static ssize_t (*next)(int, int, off64_t *, size_t);
    if (!next) next = (ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64");
    GUARD(fails_on('w', to));
    return next(to, from, at, size);
}
ssize_t copy_file_range(int from, off64_t *there, int to, off64_t *here, size_t size, unsigned flags) {
    GUARD(fails_on('w', to));
    return NEXT(copy_file_range)(from, there, to, here, size, flags);
}
int ftruncate64(int file, off64_t size) {
    GUARD(fails_on('w', file));
    return NEXT(ftruncate64)(file, size);
}
int fsync(int file) {
    GUARD(fails_on('s', file));
    return NEXT(fsync)(file);
}
int fdatasync(int file) {
    GUARD(fails_on('s', file));
    return NEXT(fdatasync)(file);
}
int rename(const char *from, const char *to) {
    GUARD(fails_at('r', AT_FDCWD, to));
    return NEXT(rename)(from, to);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    GUARD(fails_at('r', to_folder, to));
    return NEXT(renameat)(from_folder, from, to_folder, to);
}
int link(const char *from, const char *to) {
    GUARD(fails_at('l', AT_FDCWD, to));
    return NEXT(link)(from, to);
}
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    GUARD(fails_at('l', to_folder, to));
    return NEXT(linkat)(from_folder, from, to_folder, to, flags);
}
int mkdir(const char *path, mode_t mode) {
    GUARD(fails_at('m', AT_FDCWD, path));
    return NEXT(mkdir)(path, mode);
}
int unlink(const char *path) {
    GUARD(fails_at('u', AT_FDCWD, path));
    return NEXT(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    GUARD(fails_at('u', folder, path));
    return NEXT(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) {
    GUARD(fails_at('u', AT_FDCWD, path));
    return NEXT(rmdir)(path);
}

static time_t back(void) {
    if (!control || !control->clock) return 0;
    return (time_t)(control->clock * __atomic_add_fetch(&control->looks, 1, __ATOMIC_SEQ_CST));
}
int clock_gettime(clockid_t which, struct timespec *now) {
    int result = NEXT(clock_gettime)(which, now);
    if (!result && which == CLOCK_REALTIME) now->tv_sec -= back();
    return result;
}
time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
