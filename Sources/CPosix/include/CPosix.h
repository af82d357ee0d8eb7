// What Swift cannot reach in glibc: variadic calls, macros and CPU instructions. Prefix `CPosix_`.
#ifndef CPOSIX_H
#define CPOSIX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `length` bytes, continued from `crc` (0 to begin).
uint32_t CPosix_crc32c(uint32_t crc, const void *_Nullable bytes, size_t length);

/// open(2) with O_CLOEXEC added.
int CPosix_open(const char *_Nonnull path, int flags, mode_t mode);

/// preadv2(2) with RWF_NOWAIT: fails with EAGAIN instead of waiting for the disk.
ssize_t CPosix_pread_nowait(int descriptor, void *_Nonnull bytes, size_t length, off_t offset);

/// fallocate(2) with mode 0 or FALLOC_FL_KEEP_SIZE.
int CPosix_fallocate(int descriptor, int keep_size, off_t offset, off_t length);

/// fcntl(2) F_SETFL: O_NONBLOCK on.
int CPosix_set_nonblocking(int descriptor);

/// pthread_setname_np(3) for the calling thread; at most 15 bytes.
void CPosix_name_thread(const char *_Nonnull name);

/// Peer credentials of a connected Unix socket (SO_PEERCRED, unix(7)). 0 on success.
int CPosix_peer_credentials(int descriptor, uint32_t *_Nonnull uid, uint32_t *_Nonnull gid, int32_t *_Nonnull pid);

/// A timer descriptor on CLOCK_BOOTTIME (timerfd_create(2)), non-blocking. -1 and errno on failure.
int CPosix_timer_create(void);

/// Arms a timer descriptor for the absolute time `nanoseconds` of CLOCK_BOOTTIME. 0 on success.
int CPosix_timer_arm(int descriptor, uint64_t nanoseconds);

/// Fills `bytes` from getrandom(2), going on after signals. 0 on success.
int CPosix_random(void *_Nonnull bytes, size_t length);

#endif
