/* Preloaded by tests/deep/hard_ground.py: while the file named by RTML_FAULT exists, every write and fsync of a file
   below RTML_FAULT_BELOW fails with the error number that it holds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int fault(int fd) {
    const char *mark = getenv("RTML_FAULT"), *below = getenv("RTML_FAULT_BELOW");
    char link[64], path[4096], text[16] = "";
    int saved = errno;
    if (!mark || !below || access(mark, F_OK) != 0) { errno = saved; return 0; }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (n <= 0) return 0;
    path[n] = 0;
    if (strncmp(path, below, strlen(below)) != 0) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, mark, O_RDONLY);
    if (file >= 0) {
        if (syscall(SYS_read, file, text, sizeof text - 1) < 0) text[0] = 0;
        syscall(SYS_close, file);
    }
    errno = saved;
    return atoi(text);
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(fd) int code = fault(fd); if (code) { errno = code; return -1; }

ssize_t write(int fd, const void *data, size_t n) { REAL(write); FAIL(fd) return real(fd, data, n); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { REAL(pwrite); FAIL(fd) return real(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { REAL(pwrite64); FAIL(fd) return real(fd, data, n, at); }
ssize_t writev(int fd, const struct iovec *parts, int n) { REAL(writev); FAIL(fd) return real(fd, parts, n); }
int fsync(int fd) { REAL(fsync); FAIL(fd) return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); FAIL(fd) return real(fd); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); FAIL(fd) return real(fd, n); }
