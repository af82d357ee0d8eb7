// What Swift cannot reach in glibc: variadic calls, macros, casts of socket addresses and CPU instructions. Prefix `CPosix_`.
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

/// fcntl(2) F_SETFD: FD_CLOEXEC on.
void CPosix_close_on_exec(int descriptor);

/// posix_spawn(3) flag: the child leads a session of its own.
extern const short CPosix_spawn_setsid;

/// A flag of the calling thread, 0 to begin with.
void CPosix_set_thread_flag(int value);
int CPosix_thread_flag(void);

/// pidfd_open(2).
int CPosix_pidfd_open(pid_t process);

/// malloc_trim(3): gives free memory of all arenas back to the system, pages in their middle too.
void CPosix_give_back_free_memory(void);

/// pthread_setname_np(3) for the calling thread; at most 15 bytes.
void CPosix_name_thread(const char *_Nonnull name);

/// Has the calling thread run on one processor only (sched_setaffinity(2)). 0 on success.
int CPosix_run_on(int processor);

/// Sets the calling thread aside (SCHED_IDLE, sched(7)): whatever is woken on its processor runs before it and need not go to another one. Should others keep the
/// processor, it comes to its turn after some 20 to 100 ms, if `CPosix_step_back` was called before: it keeps the slice. 0 on success.
int CPosix_step_aside(void);

/// Makes the calling thread an ordinary one, with a slice of 0.1 ms (Linux 6.12). 0 on success.
int CPosix_step_back(void);

/// Peer credentials of a connected Unix socket (SO_PEERCRED, unix(7)). 0 on success.
int CPosix_peer_credentials(int descriptor, uint32_t *_Nonnull uid, uint32_t *_Nonnull gid, int32_t *_Nonnull pid);

/// A timer descriptor on CLOCK_BOOTTIME (timerfd_create(2)), non-blocking. -1 and errno on failure.
int CPosix_timer_create(void);

/// Arms a timer descriptor for the absolute time `nanoseconds` of CLOCK_BOOTTIME. 0 on success.
int CPosix_timer_arm(int descriptor, uint64_t nanoseconds);

/// Fills `bytes` from getrandom(2), going on after signals. 0 on success.
int CPosix_random(void *_Nonnull bytes, size_t length);

/// A non-blocking stream socket of an address family, closed on exec. -1 and errno on failure.
int CPosix_stream_socket(int family);

/// accept4(2), non-blocking, closed on exec.
int CPosix_accept(int descriptor);

/// bind(2) to the path of a Unix socket. ENAMETOOLONG if it does not fit (unix(7)).
int CPosix_bind_unix(int descriptor, const char *_Nonnull path);

/// connect(2) to the path of a Unix socket.
int CPosix_connect_unix(int descriptor, const char *_Nonnull path);

/// TCP: no delay for small segments; a peer that is gone is noticed after `seconds`, whether or not data is under way
/// (TCP_USER_TIMEOUT, keep-alive; tcp(7)).
int CPosix_tune_tcp(int descriptor, int seconds);

/// Asks for socket buffers of so many bytes (SO_SNDBUF, SO_RCVBUF); the system may give less.
void CPosix_set_socket_buffers(int descriptor, int bytes);

/// SO_REUSEADDR and, on IPv6, IPV6_V6ONLY off.
void CPosix_tune_listener(int descriptor, int family);

/// The pending error of a socket (SO_ERROR), 0 for none.
int CPosix_socket_error(int descriptor);

/// The numeric address and port of the other end as text. 0 on success.
int CPosix_peer_address(int descriptor, char *_Nonnull text, size_t capacity);

/// The port that a TCP socket is bound to; -1 on failure.
int CPosix_local_port(int descriptor);

#endif
