/* Loaded before libc: from the EIO_FROM-th write to a file below EIO_UNDER on, every write of the process fails with
   EIO, as on a disk that breaks. Writes by any library count, Python's and SQLite's alike. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int writes;

static int fails(int descriptor) {
    const char *under = getenv("EIO_UNDER"), *from = getenv("EIO_FROM");
    struct stat status;
    char link[64], path[4096];
    if (!under || !from || fstat(descriptor, &status) || !S_ISREG(status.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, under, strlen(under)) || atomic_fetch_add(&writes, 1) + 1 < atoi(from)) return 0;
    errno = EIO;
    return 1;
}

#define WRAPPED(name, arguments, ...)                                      \
    ssize_t name arguments {                                               \
        static ssize_t(*real) arguments;                                   \
        if (fails(fd)) return -1;                                          \
        if (!real) real = (ssize_t(*) arguments)dlsym(RTLD_NEXT, #name);   \
        return real(__VA_ARGS__);                                          \
    }

WRAPPED(write, (int fd, const void *data, size_t size), fd, data, size)
WRAPPED(pwrite, (int fd, const void *data, size_t size, off_t offset), fd, data, size, offset)
WRAPPED(pwrite64, (int fd, const void *data, size_t size, off64_t offset), fd, data, size, offset)
WRAPPED(writev, (int fd, const struct iovec *parts, int count), fd, parts, count)
