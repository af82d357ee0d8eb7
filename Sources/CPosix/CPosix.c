#define _GNU_SOURCE
#include "CPosix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#endif

static uint32_t crc32c_bytes(uint32_t crc, const unsigned char *bytes, size_t length) {
    // Bit by bit over the reversed polynomial 0x1EDC6F41; only processors without a CRC instruction come here.
    while (length--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t crc32c_hardware(uint32_t crc, const unsigned char *bytes, size_t length) {
    uint64_t wide = crc;
    for (; length >= 8; length -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; length; length--) crc = _mm_crc32_u8(crc, *bytes++);
    return crc;
}

static int has_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
static uint32_t crc32c_hardware(uint32_t crc, const unsigned char *bytes, size_t length) {
    for (; length >= 8; length -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        crc = __crc32cd(crc, word);
    }
    for (; length; length--) crc = __crc32cb(crc, *bytes++);
    return crc;
}

static int has_hardware(void) { return 1; }
#else
static uint32_t crc32c_hardware(uint32_t crc, const unsigned char *bytes, size_t length) {
    return crc32c_bytes(crc, bytes, length);
}

static int has_hardware(void) { return 0; }
#endif

uint32_t CPosix_crc32c(uint32_t crc, const void *bytes, size_t length) {
    crc = ~crc;
    crc = has_hardware() ? crc32c_hardware(crc, bytes, length) : crc32c_bytes(crc, bytes, length);
    return ~crc;
}

int CPosix_open(const char *path, int flags, mode_t mode) { return open(path, flags | O_CLOEXEC, mode); }

ssize_t CPosix_pread_nowait(int descriptor, void *bytes, size_t length, off_t offset) {
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    return preadv2(descriptor, &part, 1, offset, RWF_NOWAIT);
}

int CPosix_fallocate(int descriptor, int keep_size, off_t offset, off_t length) {
    return fallocate(descriptor, keep_size ? FALLOC_FL_KEEP_SIZE : 0, offset, length);
}

int CPosix_set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags < 0 ? -1 : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

void CPosix_close_on_exec(int descriptor) { fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

const short CPosix_spawn_setsid = POSIX_SPAWN_SETSID;

static __thread int thread_flag;

void CPosix_set_thread_flag(int value) { thread_flag = value; }

int CPosix_thread_flag(void) { return thread_flag; }

int CPosix_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

void CPosix_give_back_free_memory(void) { malloc_trim(0); }

int CPosix_run_on(int processor) {
    // More than CPU_SETSIZE of them there may be, but not for us.
    if (processor < 0 || processor >= CPU_SETSIZE) return -1;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set);
}

static int set_policy(uint32_t policy) {
    static _Thread_local int nice_value = INT_MIN;
    if (nice_value == INT_MIN) nice_value = getpriority(PRIO_PROCESS, 0);
    // struct sched_attr of linux/sched/types.h, in its first version.
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; } attributes = {
        .size = sizeof attributes, .policy = policy, .nice = nice_value, .runtime = 100000};
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

int CPosix_step_aside(void) { return set_policy(SCHED_IDLE); }

int CPosix_step_back(void) { return set_policy(SCHED_OTHER); }

void CPosix_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int CPosix_peer_credentials(int descriptor, uint32_t *uid, uint32_t *gid, int32_t *pid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
    *uid = credentials.uid;
    *gid = credentials.gid;
    *pid = credentials.pid;
    return 0;
}

int CPosix_timer_create(void) { return timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC); }

int CPosix_timer_arm(int descriptor, uint64_t nanoseconds) {
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)},
    };
    return timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &when, NULL);
}

int CPosix_random(void *bytes, size_t length) {
    unsigned char *next = bytes;
    while (length) {
        ssize_t got = getrandom(next, length, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        next += got;
        length -= (size_t)got;
    }
    return 0;
}
