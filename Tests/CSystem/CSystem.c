#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define CALL(expression)                  \
    do {                                  \
        long result = (long)(expression); \
        return result < 0 ? -errno : result; \
    } while (0)

const int CSystem_o_direct = O_DIRECT, CSystem_o_path = O_PATH, CSystem_o_tmpfile = O_TMPFILE, CSystem_o_noatime = O_NOATIME;
const int CSystem_o_nofollow = O_NOFOLLOW, CSystem_o_directory = O_DIRECTORY;

long CSystem_become(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count) {
    // Back to root first: only root may choose. The raw calls are per thread.
    if (syscall(SYS_setresuid, 0, 0, 0) != 0) return -errno;
    if (syscall(SYS_setresgid, gid, gid, 0) != 0) return -errno;
    if (syscall(SYS_setgroups, count, groups) != 0) return -errno;
    if (syscall(SYS_setresuid, uid, uid, 0) != 0) return -errno;
    return 0;
}

long CSystem_openat(int directory, const char *path, int flags, unsigned mode) { CALL(openat(directory, path, flags | O_CLOEXEC, mode)); }
long CSystem_close(int descriptor) { CALL(close(descriptor)); }
long CSystem_dup(int descriptor) { CALL(fcntl(descriptor, F_DUPFD_CLOEXEC, 0)); }
long CSystem_set_flags(int descriptor, int flags) { CALL(fcntl(descriptor, F_SETFL, flags)); }
long CSystem_pread(int descriptor, void *bytes, size_t length, int64_t offset) { CALL(pread(descriptor, bytes, length, offset)); }
long CSystem_pwrite(int descriptor, const void *bytes, size_t length, int64_t offset) { CALL(pwrite(descriptor, bytes, length, offset)); }
long CSystem_read(int descriptor, void *bytes, size_t length) { CALL(read(descriptor, bytes, length)); }
long CSystem_write(int descriptor, const void *bytes, size_t length) { CALL(write(descriptor, bytes, length)); }

long CSystem_preadv2(int descriptor, void *bytes, size_t length, int64_t offset, int flags) {
    struct iovec part = {bytes, length};
    CALL(preadv2(descriptor, &part, 1, offset, flags));
}

long CSystem_pwritev2(int descriptor, const void *bytes, size_t length, int64_t offset, int flags) {
    struct iovec part = {(void *)bytes, length};
    CALL(pwritev2(descriptor, &part, 1, offset, flags));
}

long CSystem_lseek(int descriptor, int64_t offset, int whence) { CALL(lseek(descriptor, offset, whence)); }
long CSystem_truncate(const char *path, int64_t size) { CALL(truncate(path, size)); }
long CSystem_ftruncate(int descriptor, int64_t size) { CALL(ftruncate(descriptor, size)); }
long CSystem_fallocate(int descriptor, int mode, int64_t offset, int64_t length) { CALL(fallocate(descriptor, mode, offset, length)); }
long CSystem_fsync(int descriptor) { CALL(fsync(descriptor)); }
long CSystem_fdatasync(int descriptor) { CALL(fdatasync(descriptor)); }

long CSystem_copy_file_range(int from, int64_t *offset, int to, int64_t *to_offset, size_t length, unsigned flags) {
    CALL(copy_file_range(from, (off_t *)offset, to, (off_t *)to_offset, length, flags));
}

long CSystem_mkdirat(int directory, const char *path, unsigned mode) { CALL(mkdirat(directory, path, mode)); }
long CSystem_unlinkat(int directory, const char *path, int flags) { CALL(unlinkat(directory, path, flags)); }
long CSystem_renameat2(int from, const char *path, int to, const char *new_path, unsigned flags) {
    CALL(syscall(SYS_renameat2, from, path, to, new_path, flags));
}
long CSystem_linkat(int from, const char *path, int to, const char *new_path, int flags) { CALL(linkat(from, path, to, new_path, flags)); }
long CSystem_symlinkat(const char *target, int directory, const char *path) { CALL(symlinkat(target, directory, path)); }
long CSystem_readlinkat(int directory, const char *path, void *bytes, size_t length) { CALL(readlinkat(directory, path, bytes, length)); }
long CSystem_mknodat(int directory, const char *path, unsigned mode, unsigned device) {
    CALL(mknodat(directory, path, mode, makedev(device >> 8, device & 0xFF)));
}

long CSystem_statx(int directory, const char *path, int flags, struct CSystem_status *status) {
    struct statx found;
    if (statx(directory, path, flags, STATX_BASIC_STATS | STATX_BTIME, &found) != 0) return -errno;
    *status = (struct CSystem_status){
        .mode = found.stx_mode,
        .links = found.stx_nlink,
        .uid = found.stx_uid,
        .gid = found.stx_gid,
        .inode = found.stx_ino,
        .size = found.stx_size,
        .blocks = found.stx_blocks,
        .device = (uint64_t)found.stx_rdev_major << 8 | found.stx_rdev_minor,
        .accessed = {found.stx_atime.tv_sec, found.stx_atime.tv_nsec},
        .modified = {found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec},
        .changed = {found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec},
        .born = {found.stx_btime.tv_sec, found.stx_btime.tv_nsec},
        .block_size = found.stx_blksize,
        .mask = found.stx_mask,
    };
    return 0;
}

long CSystem_fchmodat(int directory, const char *path, unsigned mode) { CALL(syscall(SYS_fchmodat, directory, path, mode)); }
long CSystem_fchmod(int descriptor, unsigned mode) { CALL(fchmod(descriptor, mode)); }
long CSystem_fchownat(int directory, const char *path, uint32_t uid, uint32_t gid, int flags) {
    CALL(fchownat(directory, path, uid, gid, flags));
}

long CSystem_utimensat(int directory, const char *path, const int64_t *times, int flags) {
    struct timespec pairs[2];
    if (times) {
        for (int index = 0; index < 2; index++) pairs[index] = (struct timespec){times[index * 2], times[index * 2 + 1]};
    }
    CALL(syscall(SYS_utimensat, directory, path, times ? pairs : NULL, flags));
}

long CSystem_faccessat(int directory, const char *path, int mode, int flags) { CALL(syscall(SYS_faccessat2, directory, path, mode, flags)); }
long CSystem_umask(unsigned mask) { return umask(mask); }
long CSystem_entries(int descriptor, void *bytes, size_t length) { CALL(syscall(SYS_getdents64, descriptor, bytes, length)); }

long CSystem_filesystem_kind(const char *path) {
    struct statfs found;
    if (statfs(path, &found) != 0) return -errno;
    return (long)found.f_type;
}

long CSystem_statfs(const char *path, struct CSystem_space *space) {
    struct statvfs found;
    if (statvfs(path, &found) != 0) return -errno;
    *space = (struct CSystem_space){
        found.f_bsize, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree, found.f_namemax,
    };
    return 0;
}

long CSystem_getxattr(const char *path, int descriptor, int follow, const char *name, void *value, size_t size) {
    if (!path) CALL(fgetxattr(descriptor, name, value, size));
    if (follow) CALL(getxattr(path, name, value, size));
    CALL(lgetxattr(path, name, value, size));
}

long CSystem_setxattr(const char *path, int descriptor, int follow, const char *name, const void *value, size_t size, int flags) {
    if (!path) CALL(fsetxattr(descriptor, name, value, size, flags));
    if (follow) CALL(setxattr(path, name, value, size, flags));
    CALL(lsetxattr(path, name, value, size, flags));
}

long CSystem_listxattr(const char *path, int descriptor, int follow, void *list, size_t size) {
    if (!path) CALL(flistxattr(descriptor, list, size));
    if (follow) CALL(listxattr(path, list, size));
    CALL(llistxattr(path, list, size));
}

long CSystem_removexattr(const char *path, int descriptor, int follow, const char *name) {
    if (!path) CALL(fremovexattr(descriptor, name));
    if (follow) CALL(removexattr(path, name));
    CALL(lremovexattr(path, name));
}

/* Cuts a length to what there is of a file from an offset on: past its end a mapping has no memory (SIGBUS). */
static size_t mappable(int descriptor, int64_t offset, size_t length) {
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return length;
    if (offset >= status.st_size) return 0;
    return length < (size_t)(status.st_size - offset) ? length : (size_t)(status.st_size - offset);
}

long CSystem_map_read(int descriptor, int64_t offset, void *bytes, size_t length, int is_private) {
    length = mappable(descriptor, offset, length);
    void *place = mmap(NULL, length, PROT_READ, is_private ? MAP_PRIVATE : MAP_SHARED, descriptor, offset);
    if (place == MAP_FAILED) return -errno;
    memcpy(bytes, place, length);
    munmap(place, length);
    return (long)length;
}

long CSystem_map_write(int descriptor, int64_t offset, const void *bytes, size_t length, int is_private) {
    length = mappable(descriptor, offset, length);
    void *place = mmap(NULL, length, PROT_READ | PROT_WRITE, is_private ? MAP_PRIVATE : MAP_SHARED, descriptor, offset);
    if (place == MAP_FAILED) return -errno;
    memcpy(place, bytes, length);
    long result = msync(place, length, MS_SYNC) == 0 ? (long)length : -errno;
    munmap(place, length);
    return result;
}

static long address(const char *path, struct sockaddr_un *socket_address) {
    if (strlen(path) >= sizeof socket_address->sun_path) return -ENAMETOOLONG;
    memset(socket_address, 0, sizeof *socket_address);
    socket_address->sun_family = AF_UNIX;
    strcpy(socket_address->sun_path, path);
    return 0;
}

long CSystem_listen(const char *path) {
    struct sockaddr_un place;
    long result = address(path, &place);
    if (result < 0) return result;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    if (bind(descriptor, (struct sockaddr *)&place, sizeof place) == 0 && listen(descriptor, 1) == 0) return descriptor;
    result = -errno;
    close(descriptor);
    return result;
}

long CSystem_connect(const char *path) {
    struct sockaddr_un place;
    long result = address(path, &place);
    if (result < 0) return result;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    result = connect(descriptor, (struct sockaddr *)&place, sizeof place) == 0 ? 0 : -errno;
    close(descriptor);
    return result;
}

long CSystem_execute(const char *path) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return -errno;
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        char *const words[] = {"program", NULL};
        char *const environment[] = {NULL};
        execve(path, words, environment);
        int code = errno;
        if (write(report[1], &code, sizeof code) < 0) _exit(127);
        _exit(127);
    }
    close(report[1]);
    int code = 0;
    ssize_t got = read(report[0], &code, sizeof code);
    close(report[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (got == (ssize_t)sizeof code) return -code;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

long CSystem_change_directory(int descriptor) { CALL(fchdir(descriptor)); }
long CSystem_unshare_directory(void) { CALL(unshare(CLONE_FS)); }
long CSystem_ioctl_number(int descriptor, unsigned long request, void *argument) { CALL(ioctl(descriptor, request, argument)); }

void CSystem_pause_milliseconds(unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {}
}
