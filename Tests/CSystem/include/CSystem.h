// System calls of the calling thread, for the conformance suite: each returns a result of 0 or more, or the error number negated. Prefix `CSystem_`.
#ifndef CSYSTEM_H
#define CSYSTEM_H

#include <stddef.h>
#include <stdint.h>

/// What statx(2) says, in types that Swift has.
struct CSystem_status {
    uint32_t mode, links, uid, gid;
    uint64_t inode, size, blocks, device;
    int64_t accessed[2], modified[2], changed[2], born[2];
    uint32_t block_size;
    uint32_t mask;
};

struct CSystem_space {
    uint64_t block_size, fragment_size, blocks, free, available, files, free_files, name_max;
};

/// Flags of open(2) and others that are only there with _GNU_SOURCE.
extern const int CSystem_o_direct, CSystem_o_path, CSystem_o_tmpfile, CSystem_o_noatime, CSystem_o_nofollow, CSystem_o_directory;

/// Credentials of this thread alone, unlike setresuid(3), which changes those of all threads. The saved ids stay 0.
long CSystem_become(uint32_t uid, uint32_t gid, const uint32_t *_Nullable groups, size_t count);

long CSystem_openat(int directory, const char *_Nonnull path, int flags, unsigned mode);
long CSystem_close(int descriptor);
long CSystem_dup(int descriptor);
long CSystem_set_flags(int descriptor, int flags);
long CSystem_pread(int descriptor, void *_Nonnull bytes, size_t length, int64_t offset);
long CSystem_pwrite(int descriptor, const void *_Nonnull bytes, size_t length, int64_t offset);
long CSystem_read(int descriptor, void *_Nonnull bytes, size_t length);
long CSystem_write(int descriptor, const void *_Nonnull bytes, size_t length);
long CSystem_preadv2(int descriptor, void *_Nonnull bytes, size_t length, int64_t offset, int flags);
long CSystem_pwritev2(int descriptor, const void *_Nonnull bytes, size_t length, int64_t offset, int flags);
long CSystem_lseek(int descriptor, int64_t offset, int whence);
long CSystem_truncate(const char *_Nonnull path, int64_t size);
long CSystem_ftruncate(int descriptor, int64_t size);
long CSystem_fallocate(int descriptor, int mode, int64_t offset, int64_t length);
long CSystem_fsync(int descriptor);
long CSystem_fdatasync(int descriptor);
long CSystem_copy_file_range(int from, int64_t *_Nullable offset, int to, int64_t *_Nullable to_offset, size_t length, unsigned flags);
long CSystem_mkdirat(int directory, const char *_Nonnull path, unsigned mode);
long CSystem_unlinkat(int directory, const char *_Nonnull path, int flags);
long CSystem_renameat2(int from, const char *_Nonnull path, int to, const char *_Nonnull new_path, unsigned flags);
long CSystem_linkat(int from, const char *_Nonnull path, int to, const char *_Nonnull new_path, int flags);
long CSystem_symlinkat(const char *_Nonnull target, int directory, const char *_Nonnull path);
long CSystem_readlinkat(int directory, const char *_Nonnull path, void *_Nonnull bytes, size_t length);
long CSystem_mknodat(int directory, const char *_Nonnull path, unsigned mode, unsigned device);
long CSystem_statx(int directory, const char *_Nonnull path, int flags, struct CSystem_status *_Nonnull status);
long CSystem_fchmodat(int directory, const char *_Nonnull path, unsigned mode);
long CSystem_fchmod(int descriptor, unsigned mode);
long CSystem_fchownat(int directory, const char *_Nonnull path, uint32_t uid, uint32_t gid, int flags);
/// Two pairs of seconds and nanoseconds. A null path: the descriptor's own file.
long CSystem_utimensat(int directory, const char *_Nullable path, const int64_t *_Nullable times, int flags);
long CSystem_faccessat(int directory, const char *_Nonnull path, int mode, int flags);
long CSystem_umask(unsigned mask);
/// getdents64(2).
long CSystem_entries(int descriptor, void *_Nonnull bytes, size_t length);
/// The kind of filesystem that a path is on, f_type of statfs(2).
long CSystem_filesystem_kind(const char *_Nonnull path);
long CSystem_statfs(const char *_Nonnull path, struct CSystem_space *_Nonnull space);
/// A null path: the descriptor's own file. The path is relative to the working directory.
long CSystem_getxattr(const char *_Nullable path, int descriptor, int follow, const char *_Nonnull name, void *_Nullable value, size_t size);
long CSystem_setxattr(
    const char *_Nullable path, int descriptor, int follow, const char *_Nonnull name, const void *_Nullable value, size_t size, int flags);
long CSystem_listxattr(const char *_Nullable path, int descriptor, int follow, void *_Nullable list, size_t size);
long CSystem_removexattr(const char *_Nullable path, int descriptor, int follow, const char *_Nonnull name);
/// Maps `length` bytes from `offset` on (of a page), copies between the mapping and `bytes`, and unmaps.
long CSystem_map_read(int descriptor, int64_t offset, void *_Nonnull bytes, size_t length, int is_private);
long CSystem_map_write(int descriptor, int64_t offset, const void *_Nonnull bytes, size_t length, int is_private);
/// A Unix socket bound to a path relative to the working directory, listening; and a connection to one, which is closed at once.
long CSystem_listen(const char *_Nonnull path);
long CSystem_connect(const char *_Nonnull path);
/// Runs the program that a descriptor is open for (or a path leads to), with no arguments; returns its exit code.
long CSystem_execute(const char *_Nonnull path);
/// Every call below relative paths: the thread's own working directory, by a directory's descriptor.
long CSystem_change_directory(int descriptor);
/// Gives the calling thread a working directory and umask of its own (unshare(2), CLONE_FS).
long CSystem_unshare_directory(void);
long CSystem_ioctl_number(int descriptor, unsigned long request, void *_Nullable argument);
void CSystem_pause_milliseconds(unsigned milliseconds);

#endif
